// Bundles what the page takes from others into one file named by its hash, with the licences beside it.
//
// Called by `build`, beside its node_modules: node build.mjs FOLDER, the page's static folder. A test gives another
// folder and compares.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2]);
const names = Object.keys(JSON.parse(readFileSync(join(here, "package.json"), "utf8")).dependencies);

const manifest = (name) => JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8"));

function licence(name) {
  const { version, license, homepage } = manifest(name);
  const texts = readdirSync(join(here, "node_modules", name)).filter((file) => /^licen[cs]e/i.test(file));
  const text = texts.map((file) => readFileSync(join(here, "node_modules", name, file), "utf8").trim()).join("\n\n");
  return `${name} ${version} (${license})${homepage ? `\n${homepage}` : ""}\n\n${text}\n`;
}

// The core of signals is a dependency of a dependency; everything else is named in package.json.
const bundled = [...names, "@preact/signals-core"].sort();
const versions = bundled.map((name) => `${name} ${manifest(name).version}`).join(", ");
const { outputFiles } = await build({
  absWorkingDir: here,
  banner: { js: `/* ${versions}. Licences: LICENSES.txt. Made by vendor/build.mjs. */` },
  bundle: true,
  charset: "utf8",
  entryPoints: ["entry.js"],
  format: "esm",
  legalComments: "none",
  minify: true,
  target: "es2022",
  write: false,
});
const code = outputFiles[0].contents;
const name = `preact.${createHash("sha256").update(code).digest("hex").slice(0, 12)}.js`;
const vendor = join(folder, "vendor");
mkdirSync(join(folder, "js"), { recursive: true });
rmSync(vendor, { force: true, recursive: true });
mkdirSync(vendor);
writeFileSync(join(vendor, name), code);
writeFileSync(join(vendor, "LICENSES.txt"), bundled.map(licence).join(`\n${"-".repeat(80)}\n\n`));
writeFileSync(
  join(folder, "js", "vendor.js"),
  `// Made by vendor/build.mjs: the one place that knows the name of the bundle.\nexport * from "../vendor/${name}";\n`,
);
console.log(`${name} ${code.length} bytes`);
