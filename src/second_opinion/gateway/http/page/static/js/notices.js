// Problems and small shared pieces: what happened, what to do, and what still works.
import { html, useEffect, useRef, useState } from "./vendor.js";
import { health } from "./session.js";

const STILL_WORKS = {
  job_store_unavailable: "Traces, floors and documents can still be looked at.",
  broker_unavailable: "Traces, floors and documents can still be looked at.",
  store_unavailable: "What is on this page can still be read, and its floor moved.",
  rerank_unavailable: "Documents can still be ingested, and past traces looked at.",
  gateway_unreachable: "What is on this page can still be read, and its floor moved.",
};

// A problem with its way out. `retry` is called when the countdown ends or the button is pressed.
export function ProblemNotice({ problem, retry, trace }) {
  const left = useCountdown(problem, retry);
  const away = health.value.parts.length ? `Not answering: ${health.value.parts.join(", ")}.` : "";
  const works = STILL_WORKS[problem.code];
  const kind = problem.state === "cancelled" ? "cancelled" : "failed";
  const way = kind === "cancelled" ? "Ask again" : "Try again";
  return html`
    <div class="notice ${kind}" role="alert">
      <h2><${Icon} name=${kind} /> ${titleOf(problem)}</h2>
      <p>${sentenceOf(problem)}</p>
      ${problem.hint && html`<p class="hint">${problem.hint}</p>`}
      ${(works || away) && html`<p>${[works, away].filter(Boolean).join(" ")}</p>`}
      <p class="facts">
        ${retry &&
        html`<button type="button" class="small" onClick=${retry}>${left ? `${way} (${left} s)` : way}</button>`}
        ${problem.code && html`<span>${problem.code}</span>`}
        ${trace && html`<span>job <code>${trace}</code></span>`}
        ${problem.request_id && html`<span>request <code>${problem.request_id}</code></span>`}
      </p>
    </div>
  `;
}

const titleOf = (problem) => problem.title || "Something went wrong";
const sentenceOf = (problem) => {
  const fields = (problem.errors ?? []).map((one) => `${one.field}: ${one.message}`).join("; ");
  return [sentence(problem.detail || problem.message), sentence(fields)].filter(Boolean).join(" ");
};
const sentence = (words) => (words ? `${words[0].toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}` : "");

function useCountdown(problem, retry) {
  const wait = problem.transient && retry ? Math.ceil(problem.retry_after ?? 10) : 0;
  const [left, setLeft] = useState(wait);
  const again = useRef(retry);
  again.current = retry;
  useEffect(() => {
    if (!wait) return undefined;
    const until = Date.now() + wait * 1_000;
    setLeft(wait);
    const timer = setInterval(() => {
      const seconds = Math.ceil((until - Date.now()) / 1_000);
      setLeft(Math.max(0, seconds));
      if (seconds > 0) return;
      clearInterval(timer);
      again.current();
    }, 250);
    return () => clearInterval(timer);
  }, [problem]);
  return left;
}

// Shapes differ, not only colours: a circle, a square, a triangle, a broken circle, an octagon, a diamond.
const SHAPES = {
  answered: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M4.8 8.2 7 10.4l4.2-4.6"],
  refused: ["M2 2h12v12H2Z", "M5 8h6"],
  failed: ["M8 1.2 15.2 14.4H.8Z", "M8 6v3.6M8 11.6v.9"],
  partial: ["M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Z", "M8 4v8M8 8h3.5"],
  cancelled: ["M5 1h6l4 4v6l-4 4H5l-4-4V5Z", "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"],
  unjudged: ["M8 .8 15.2 8 8 15.2.8 8Z", "M6.4 6.4a1.7 1.7 0 1 1 2.4 1.7c-.5.3-.8.6-.8 1.1M8 11v.6"],
};

export function Icon({ name }) {
  const [shape, sign] = SHAPES[name] ?? SHAPES.unjudged;
  return html`<svg class="icon ${name}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path class="shape" d=${shape} /><path class="sign" d=${sign} />
  </svg>`;
}

export function CopyButton({ text, children }) {
  const [copied, setCopied] = useState("");
  const copy = async () => {
    setCopied((await written(text)) ? "Copied" : "Copying is not allowed here");
    setTimeout(() => setCopied(""), 2_000);
  };
  return html`<button type="button" class="small" onClick=${copy}>${copied || children}</button>`;
}

// The clipboard is there only on loopback and https; elsewhere the old way still is.
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export function Dialog({ open, title, onClose, children }) {
  const element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    if (open && !dialog.open) dialog.showModal();
    if (!open && dialog.open) dialog.close();
  }, [open]);
  const outside = (event) => event.target === element.current && onClose();
  return html`
    <dialog ref=${element} onClose=${onClose} onClick=${outside} aria-label=${title}>
      ${open && html`<div class="dialog"><h2>${title}</h2>${children}</div>`}
    </dialog>
  `;
}
