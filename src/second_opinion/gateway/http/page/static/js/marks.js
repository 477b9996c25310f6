// Marks a question's words in a passage. The result is a list of [text, marked]: text nodes, never markup.

const WORD = /[\p{L}\p{N}]+/gu;
const SNIPPET = 260;
const LEAD = 40;
const STOP = new Set(
  ("a about after all am an and any are as at be been but by can could did do does for from had has have how i if in into is it its " +
    "me my no not of on or our should so than that the their them then there these they this to was we were what when where " +
    "which who whom why will with would you your")
    .split(" "),
);
// Longest first: roughly what an English stemmer cuts off.
const ENDINGS = ["ations", "ation", "ements", "ement", "ingly", "ments", "ment", "ings", "ness", "edly", "ing", "ies", "ied", "ers", "ed", "es", "er", "ly", "s", "e", "y"];

export function stem(word) {
  const plain = word.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  const ending = ENDINGS.find((one) => plain.endsWith(one) && plain.length - one.length >= 3);
  const cut = ending ? plain.slice(0, -ending.length) : plain;
  return /([b-df-hj-np-tv-z])\1$/.test(cut) && cut.length > 3 ? cut.slice(0, -1) : cut;
}

export function stems(question) {
  const words = (question ?? "").match(WORD) ?? [];
  const telling = words.filter((word) => !STOP.has(word.toLowerCase()));
  return new Set((telling.length ? telling : words).map(stem));
}

export function marked(text, wanted) {
  const parts = [];
  let behind = 0;
  for (const found of text.matchAll(WORD)) {
    if (!wanted.has(stem(found[0]))) continue;
    if (found.index > behind) parts.push([text.slice(behind, found.index), false]);
    parts.push([found[0], true]);
    behind = found.index + found[0].length;
  }
  if (behind < text.length) parts.push([text.slice(behind), false]);
  return parts;
}

// The stretch of a passage with the most different words of the question, as one line.
export function snippet(text, wanted) {
  const line = text.replace(/^#+\s+/gm, "").replace(/\s+/g, " ").trim();
  if (line.length <= SNIPPET) return line;
  const hits = [...line.matchAll(WORD)].map((found) => [found.index, stem(found[0])]).filter(([, one]) => wanted.has(one));
  let start = 0;
  let most = 0;
  for (const [from] of hits) {
    const inside = new Set(hits.filter(([at]) => at >= from && at < from + SNIPPET - LEAD).map(([, one]) => one)).size;
    if (inside > most) [start, most] = [from, inside];
  }
  let from = Math.max(0, Math.min(start - LEAD, line.length - SNIPPET));
  if (from > 0) from = line.indexOf(" ", from) + 1;
  const cut = line.slice(from, from + SNIPPET);
  const to = from + SNIPPET < line.length ? cut.lastIndexOf(" ") : cut.length;
  return `${from > 0 ? "… " : ""}${cut.slice(0, to)}${from + to < line.length ? " …" : ""}`;
}
