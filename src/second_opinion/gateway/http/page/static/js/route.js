// What is looked at, kept in the address: ?tab=floor&collection=handbook&trace=01JX4&floor=0.42
import { effect, signal } from "./vendor.js";
import { remember, remembered } from "./storage.js";

export const TABS = ["ask", "floor", "ingest"];
const SETTLED_MS = 250;

export const tab = signal("ask");
export const collection = signal("default");
export const trace = signal(null);
export const compared = signal(null);
// The floor that is tried out; null while it is the one that the query was judged by.
export const floor = signal(null);

let pending = null;

function read() {
  const asked = new URLSearchParams(location.search);
  const number = Number(asked.get("floor"));
  tab.value = TABS.includes(asked.get("tab")) ? asked.get("tab") : "ask";
  collection.value = asked.get("collection") || remembered("collection") || "default";
  trace.value = asked.get("trace") || null;
  compared.value = asked.get("with") || null;
  floor.value = asked.has("floor") && number >= 0 && number <= 1 ? number : null;
}

function address() {
  const said = new URLSearchParams();
  if (tab.value !== "ask") said.set("tab", tab.value);
  if (collection.value !== "default") said.set("collection", collection.value);
  if (trace.value) said.set("trace", trace.value);
  if (compared.value) said.set("with", compared.value);
  if (floor.value !== null) said.set("floor", floor.value);
  return `${location.pathname}${said.size ? `?${said}` : ""}`;
}

// A new place in the history for what one would go back to, the same place for a floor that moves.
export function start() {
  read();
  window.addEventListener("popstate", () => {
    clearTimeout(pending);
    read();
  });
  let places = placeName();
  effect(() => {
    const wanted = address();
    const place = placeName();
    clearTimeout(pending);
    if (wanted === `${location.pathname}${location.search}`) {
      places = place;
      return;
    }
    if (place !== places) {
      places = place;
      history.pushState(null, "", wanted);
    } else {
      pending = setTimeout(() => history.replaceState(null, "", wanted), SETTLED_MS);
    }
  });
  effect(() => remember("collection", collection.value));
}

const placeName = () => [tab.value, collection.value, trace.value].join(" ");
