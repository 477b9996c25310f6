// All candidates of a query: kept ones above the floor, dropped ones below it, each with every list's rank.
import { html, useEffect, useMemo, useState } from "../vendor.js";
import * as asking from "../asking.js";
import { stems } from "../marks.js";
import { savedFloor } from "../session.js";
import { plural, share } from "../words.js";
import { Row } from "./row.js";
import { placed } from "./slider.js";

const DROPPED_SHOWN = 12;
const COLUMNS = [
  ["rank", "#", "Final rank"],
  ["bm25_rank", "BM25", "Rank by BM25"],
  ["knn_rank", "kNN", "Rank by vectors"],
  ["fused_rank", "Fused", "Rank after fusion"],
  ["relevance", "Relevance", "Calibrated relevance"],
];
const LARGE = Number.MAX_SAFE_INTEGER;

export function Candidates({ record, verdict }) {
  const [sort, setSort] = useState("rank");
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState(null);
  useEffect(() => {
    setAll(false);
    setOpen(null);
    setSort("rank");
  }, [record.jobId]);
  const wanted = useMemo(() => stems(record.question), [record.question]);
  const rows = sorted(record, verdict, sort);
  const shown = all ? rows : few(rows);
  const hidden = rows.length - shown.length;
  const floor = asking.shownFloor.value;
  const below = rows.filter((row) => row.decision === "below_floor").length;
  const line = sort === "rank" ? shown.findIndex((row) => row.decision === "below_floor" || row.decision === "unscored") : -1;
  const row = ({ candidate, decision }) => html`<${Row}
    key=${candidate.chunkId}
    candidate=${candidate}
    decision=${decision}
    wanted=${wanted}
    jobId=${record.jobId}
    open=${open === candidate.chunkId}
    judged=${asking.judgements.value[candidate.chunkId]}
    near=${floor}
    onToggle=${() => setOpen(open === candidate.chunkId ? null : candidate.chunkId)}
  />`;
  const floorLine = html`<tr key="floor" class="floor-line"><td colspan="7"><span>floor ${share(floor)} · ${plural(below, "passage")} below</span></td></tr>`;
  const body = shown.map(row);
  if (sort === "rank") body.splice(line < 0 ? body.length : line, 0, floorLine);
  return html`
    <table class="candidates" ref=${placedBoth(floor)}>
      <caption class="visually-hidden">Candidates, ${verdict.kept} kept of ${record.candidates.length}</caption>
      <thead>
        <tr>
          ${COLUMNS.map(
            ([name, label, title]) => html`<th key=${name} scope="col" class=${name} aria-sort=${sort === name ? direction(name) : "none"}>
              <button type="button" title=${title} onClick=${() => setSort(name)}>${label}<span class="arrow" aria-hidden="true">${sort === name ? (name === "relevance" ? "↓" : "↑") : ""}</span></button>
            </th>`,
          )}
          <th scope="col" class="decision">Decision</th>
          <th scope="col" class="passage">Passage</th>
        </tr>
      </thead>
      <tbody>${body}</tbody>
    </table>
    ${hidden > 0 && html`<p class="more"><button type="button" class="small" onClick=${() => setAll(true)}>Show ${plural(hidden, "more candidate")}</button></p>`}
  `;
}

const direction = (name) => (name === "relevance" ? "descending" : "ascending");
const placedBoth = (floor) => (element) => {
  placed("--at-floor", floor)(element);
  placed("--at-saved", savedFloor.value)(element);
};

function sorted(record, verdict, sort) {
  const judged = record.outcome !== "unjudged";
  const rows = [
    ...record.candidates.map((candidate, place) => ({ candidate, decision: judged ? verdict.decisions[place] : candidate.decision })),
    ...record.unscored.map((candidate) => ({ candidate, decision: "unscored" })),
  ];
  if (sort === "rank") return rows;
  if (sort === "relevance") return rows.sort((a, b) => (b.candidate.relevance ?? -1) - (a.candidate.relevance ?? -1));
  return rows.sort((a, b) => (a.candidate[sort] ?? LARGE) - (b.candidate[sort] ?? LARGE));
}

// Everything that is kept, and the first few of each kind that is not.
function few(rows) {
  const seen = {};
  return rows.filter(({ decision }) => {
    seen[decision] = (seen[decision] ?? 0) + 1;
    return decision === "kept" || seen[decision] <= DROPPED_SHOWN;
  });
}
