// The keyboard: single keys, which can be switched off, and nothing while something is typed.
import * as asking from "./asking.js";
import * as route from "./route.js";
import { announce, singleKeys } from "./session.js";
import { signal } from "./vendor.js";

export const helpIsOpen = signal(false);
export const KEYS = [
  ["/", "to the question"],
  ["j k", "next, previous passage"],
  ["Enter", "open or close it"],
  ["r n", "judge it relevant, not relevant"],
  ["[ ]", "floor down, up by 0.01"],
  ["g then a f i", "Ask, Floor, Ingest"],
  ["?", "this help"],
];
const TAB_KEYS = { a: "ask", f: "floor", i: "ingest" };
const STEP = 0.01;
const PREFIX_MS = 1_500;

let prefixed = 0;

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (event.key === "Escape" && document.activeElement?.id === "question") document.activeElement.blur();
    if (!singleKeys.value || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const action = actionOf(event.key);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(key) {
  if (Date.now() - prefixed < PREFIX_MS && TAB_KEYS[key]) {
    prefixed = 0;
    return () => (route.tab.value = TAB_KEYS[key]);
  }
  if (key === "g") return () => (prefixed = Date.now());
  if (key === "?") return () => (helpIsOpen.value = true);
  if (key === "/") return toQuestion;
  if (route.tab.value !== "ask" || !asking.record.value) return null;
  return { j: () => step(1), k: () => step(-1), "[": () => moveFloor(-STEP), "]": () => moveFloor(STEP), r: () => judge(true), n: () => judge(false) }[key] ?? null;
}

function toQuestion() {
  route.tab.value = "ask";
  requestAnimationFrame(() => document.getElementById("question")?.select());
}

// The row that holds the focus is the current one; the first step goes to the first row.
function step(by) {
  const openers = [...document.querySelectorAll(".candidates .opener")];
  const at = openers.findIndex((one) => one.closest("tr") === currentRow());
  const next = openers[at < 0 ? 0 : Math.min(Math.max(at + by, 0), openers.length - 1)];
  next?.focus();
  next?.closest("tr").scrollIntoView({ block: "nearest" });
}

function currentRow() {
  const row = document.activeElement?.closest?.(".candidates tbody tr");
  return row?.classList.contains("details") ? row.previousElementSibling : row;
}

function judge(relevant) {
  const chunk = currentRow()?.dataset.chunk;
  const candidate = asking.record.value.candidates.find((one) => one.chunkId === chunk);
  if (!candidate) announce("Choose a passage with j and k first");
  else asking.judgeCandidate(candidate, relevant).catch((problem) => announce(`Not judged: ${problem.message}`));
}

const moveFloor = (by) => asking.moveFloor(Math.min(1, Math.max(0, Math.round((asking.shownFloor.value + by) * 1_000) / 1_000)));

const isTyping = (element) => element.isContentEditable || element.matches("textarea, select, input:not([type=range]):not([type=checkbox]):not([type=button])");
