// Who this page is to the gateway, what the gateway is, and whether it is well.
import { call, send } from "./api.js";
import { batch, computed, signal } from "./vendor.js";
import { collection } from "./route.js";
import { keepSessionKey, remember, remembered, sessionKey } from "./storage.js";

const HEALTH_SECONDS = 15;

export const about = signal(null);
export const collections = signal([]);
// {problem} where the gateway did not let us in or did not answer.
export const refused = signal(null);
export const needsKey = signal(false);
// ok, degraded or away; `parts` names what does not answer.
export const health = signal({ state: "unknown", parts: [] });
export const theme = signal(remembered("theme") ?? "system");
export const singleKeys = signal(remembered("keys") !== "off");
export const announcement = signal("");

export const may = (scope) => {
  const scopes = about.value?.key.scopes ?? [];
  return scopes.includes(scope) || scopes.includes("admin");
};

// The collection's record: its own choices, and the floor that is in force in it.
export const chosen = computed(() => collections.value.find((one) => one.name === collection.value) ?? null);
export const savedFloor = computed(() => chosen.value?.overrides?.floor ?? about.value?.floor ?? 0.4);

export async function enter() {
  try {
    const known = await call("/v1/about");
    const listed = known.key.scopes.includes("query") ? await call("/v1/collections") : { collections: [] };
    batch(() => {
      about.value = known;
      collections.value = listed.collections;
      settle(listed.collections);
      needsKey.value = false;
      refused.value = null;
    });
  } catch (problem) {
    batch(() => {
      needsKey.value = problem.status === 401;
      refused.value = problem;
    });
  }
}

// Without a word of the address, a collection that is there is better than the default that is not.
function settle(known) {
  const asked = new URLSearchParams(location.search).has("collection");
  if (!asked && known.length && !known.some((one) => one.name === collection.value)) collection.value = known[0].name;
}

export async function refreshCollections() {
  collections.value = (await call("/v1/collections")).collections;
}

export async function useKey(key) {
  keepSessionKey(key.trim());
  await enter();
}

export async function forgetKey() {
  keepSessionKey(null);
  about.value = null;
  await enter();
}

export const hasKey = () => Boolean(sessionKey());

export function announce(words) {
  announcement.value = words;
}

export function chooseTheme(name) {
  theme.value = name;
  remember("theme", name === "system" ? null : name);
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

export function chooseSingleKeys(on) {
  singleKeys.value = on;
  remember("keys", on ? null : "off");
}

export function watchHealth() {
  const look = async () => {
    if (document.visibilityState === "visible") health.value = await examine();
    setTimeout(look, HEALTH_SECONDS * 1_000);
  };
  document.addEventListener("visibilitychange", async () => {
    if (document.visibilityState === "visible") health.value = await examine();
  });
  look();
}

export async function examine() {
  try {
    const response = await send("/readyz");
    const said = await response.json().catch(() => ({}));
    return response.ok ? { state: "ok", parts: [] } : { state: "degraded", parts: failing(said) };
  } catch {
    return { state: "away", parts: ["the gateway"] };
  }
}

// Names of the servers that are not well.
const failing = (said) => ["elasticsearch", "redis"].filter((name) => said[name] !== undefined && said[name] !== "ok");
