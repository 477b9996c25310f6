// The words and figures that the page shows, in one place.
import { distinct, fixed } from "./judge.js";

export const DECISIONS = {
  kept: "Kept",
  below_floor: "Below floor",
  query_below_floor: "Query below floor",
  over_document_cap: "Over document cap",
  over_top_k: "Over top k",
  unscored: "Not read",
};

export const OUTCOMES = {
  answered: "Answered",
  refused: "Refused",
  partial: "Answered in part",
  refused_partial: "Refused in part",
  unjudged: "Not judged",
  failed: "Failed",
  cancelled: "Cancelled",
  expired: "Expired",
};

export const CALIBRATIONS = {
  none: "uncalibrated: an order, not a chance",
  shipped: "shipped calibration",
  collection: "calibrated on this collection",
};

const COUNT = new Intl.NumberFormat("en");
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

export const count = (number) => COUNT.format(number);
export const share = (number) => fixed(number, 2);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
export const rank = (number) => (number === null || number === undefined ? "·" : String(number));

// A relevance beside the floor it is held against: one that rounds to the floor but misses it gets more decimals.
export const relevance = (value, floor) => (value < floor ? distinct(floor, value)[1] : share(value));

export function percent(number) {
  const value = number * 100;
  return `${value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

export function milliseconds(value) {
  if (value >= 10_000) return `${(value / 1_000).toFixed(0)} s`;
  if (value >= 1_000) return `${(value / 1_000).toFixed(1)} s`;
  return `${value < 10 && value > 0 ? value.toFixed(1) : value.toFixed(0)} ms`;
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}

export function bytes(size) {
  if (size < 1_000) return `${size} B`;
  return size < 1_000_000 ? `${(size / 1_000).toFixed(0)} kB` : `${(size / 1_000_000).toFixed(1)} MB`;
}

export const moment = (seconds) => MOMENT.format(new Date(seconds * 1_000));

export function ago(seconds, now = Date.now() / 1_000) {
  const past = Math.max(0, now - seconds);
  return past < 86_400 ? `${duration(past)} ago` : moment(seconds);
}

// A model's name without the path it is kept under.
export const short = (name) => (name ?? "").split("/").at(-1);

export const shellQuoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
