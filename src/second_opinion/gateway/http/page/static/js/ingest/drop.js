// Where files are dropped, or chosen.
import { html, useRef, useState } from "../vendor.js";
import { may } from "../session.js";
import { LoadSamples } from "./samples.js";
import { fromFiles, holdsLines, send } from "./sending.js";
import { sendLines } from "./lines.js";

export function DropZone({ collection, onTake = () => {} }) {
  const [over, setOver] = useState(false);
  const chooser = useRef(null);
  if (!may("ingest")) return html`<section class="card"><h2>Documents of ${collection}</h2><p class="quiet">This key has not the scope ingest, so nothing can be added here.</p></section>`;
  const take = (list) => {
    const given = [...list];
    onTake();
    send(fromFiles(given.filter((file) => !holdsLines(file.name))), collection);
    for (const file of given.filter((one) => holdsLines(one.name))) sendLines(file, collection);
  };
  const drag = (on) => (event) => {
    event.preventDefault();
    setOver(on);
  };
  const drop = async (event) => {
    event.preventDefault();
    setOver(false);
    take(await dropped(event.dataTransfer));
  };
  const chosen = (event) => {
    take(event.target.files);
    event.target.value = "";
  };
  return html`
    <section class="drop ${over ? "over" : ""}" aria-label="Add documents" onDragOver=${drag(true)} onDragLeave=${drag(false)} onDrop=${drop}>
      <h2>Drop files into <b>${collection}</b></h2>
      <p class="quiet">Text, Markdown and JSON lines; whole folders too. A file that was sent before replaces its document.</p>
      <div class="buttons">
        <button type="button" onClick=${() => chooser.current.click()}>Choose files …</button>
        <${LoadSamples} />
      </div>
      <input ref=${chooser} type="file" multiple class="visually-hidden" tabindex="-1" aria-label="Files to ingest" onChange=${chosen} />
    </section>
  `;
}

// Files, and those inside folders, which a browser hands out a hundred at a time.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((one) => one.isDirectory)) return transfer.files;
  return (await Promise.all(entries.map((one) => filesOf(one, "")))).flat();
}

async function filesOf(entry, folder) {
  if (entry.name.startsWith(".")) return [];
  const path = folder ? `${folder}/${entry.name}` : entry.name;
  if (entry.isFile) {
    const file = await new Promise((done, stop) => entry.file(done, stop));
    return [new File([file], path, { type: file.type })];
  }
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    const some = await new Promise((done, stop) => reader.readEntries(done, stop));
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map((one) => filesOf(one, path)))).flat();
}
