// The floor as pipeline/floor.py applies it, so that a stored trace is judged again without a request.
// tests/browser/test_judging.py holds both to the same verdicts and the same words.

export const NEAR = 0.05;

// Rules 2 to 4 over candidates in their final order.
export function decide(candidates, { floor, topK, chunksPerDocument }, queryRelevance) {
  const queryIsBelow = queryRelevance !== null && !(queryRelevance >= floor);
  const keptOf = new Map();
  let kept = 0;
  return candidates.map(({ document, relevance }) => {
    if (!(relevance >= floor)) return "below_floor";
    if (queryIsBelow) return "query_below_floor";
    const ofDocument = keptOf.get(document) ?? 0;
    if (ofDocument >= chunksPerDocument) return "over_document_cap";
    if (kept >= topK) return "over_top_k";
    keptOf.set(document, ofDocument + 1);
    kept += 1;
    return "kept";
  });
}

// The whole verdict: decisions, outcome, reason and sentence. `unread` is {late, unreadable}.
export function judge(candidates, choices, queryRelevance, unread = { late: 0, unreadable: 0 }) {
  for (const one of candidates) requireShare(one.relevance);
  if (queryRelevance !== null) requireShare(queryRelevance);
  const decisions = decide(candidates, choices, queryRelevance);
  const kept = decisions.filter((decision) => decision === "kept").length;
  const best = candidates.length ? Math.max(...candidates.map((one) => one.relevance)) : null;
  const reason = kept ? null : reasonOf(best, choices.floor);
  const said =
    reason === "query_below_floor"
      ? querySentence(candidates.length, choices.floor, best, queryRelevance)
      : sentence(kept, candidates.length, choices.floor, best);
  return {
    decisions,
    kept,
    best,
    near: candidates.filter((one) => isNear(one.relevance, choices.floor)).length,
    outcome: kept ? "answered" : "refused",
    reason,
    sentence: said + leftUnread(candidates.length, unread.late, unread.unreadable),
  };
}

// Within 0.05, by the numbers that people see.
export function isNear(relevance, floor) {
  return Math.abs(relevance - floor) <= NEAR + 1e-9;
}

function requireShare(value) {
  // The floor fails closed: what is no number in [0, 1] never passes, and is not quietly dropped either.
  if (!(value >= 0 && value <= 1)) throw new RangeError(`no floor can be applied to a relevance of ${value}`);
}

function reasonOf(best, floor) {
  if (best === null) return "no_candidates";
  return best >= floor ? "query_below_floor" : "below_floor";
}

function sentence(kept, judged, floor, best) {
  if (best === null) return "Nothing was found that could be judged.";
  const [shownFloor, shownBest] = distinct(floor, best);
  if (!kept) return `Nothing cleared ${shownFloor}; best was ${shownBest}.`;
  const noun = judged === 1 ? "passage" : "passages";
  return `${kept} of ${judged} ${noun} ${kept === 1 ? "is" : "are"} shown; best was ${shownBest}, floor ${shownFloor}.`;
}

function querySentence(judged, floor, best, queryRelevance) {
  const [shownFloor, shownQuery] = distinct(floor, queryRelevance);
  const [, shownBest] = distinct(floor, best);
  return (
    `The best passage has ${shownBest}, but as the best of ${judged} the chance that any of them answers is ` +
    `${shownQuery}, below ${shownFloor}.`
  );
}

function leftUnread(judged, late, unreadable) {
  const whole = judged + late + unreadable;
  return (
    (late ? ` Only ${judged} of ${whole} candidates were read before the deadline.` : "") +
    (unreadable ? ` The reranker could not read ${unreadable} of ${whole} candidates.` : "")
  );
}

// Both with two decimals, or with as many as it takes to tell them apart.
export function distinct(floor, best) {
  for (let decimals = 2; decimals < 17; decimals += 1) {
    const texts = [fixed(floor, decimals), fixed(best, decimals)];
    if (texts[0] !== texts[1] || floor === best) return texts;
  }
  return [String(floor), String(best)];
}

// Python's rounding: a number exactly between two goes to the even one, where toFixed goes up.
export function fixed(value, decimals = 2) {
  // Only what lies exactly between two has a whole double, and exact digits are dear.
  if (!Number.isInteger(value * 2 * 10 ** decimals)) return value.toFixed(decimals);
  const exact = value.toFixed(100);
  const cut = exact.indexOf(".") + 1 + decimals;
  if (!/^50*$/.test(exact.slice(cut))) return value.toFixed(decimals);
  const down = exact.slice(0, cut);
  return Number(down.at(-1)) % 2 === 0 ? down : value.toFixed(decimals);
}
