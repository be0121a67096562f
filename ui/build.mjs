// Bundle the dashboard into src/nearline/server/static. The first line of app.js names the hash of
// the sources, which tests/ui/test_bundle.py compares.
import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "src", "nearline", "server", "static");

/** SHA-256 of the paths and texts of all sources and of the versions of the libraries. */
function sourceHash() {
  const names = readdirSync(join(here, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(here, join(entry.parentPath, entry.name)).split(sep).join("/"));
  const hash = createHash("sha256");
  for (const name of [...names, "package.json", "build.mjs"].sort()) {
    hash.update(name + "\0");
    hash.update(readFileSync(join(here, name)));
    hash.update("\0");
  }
  return hash.digest("hex");
}

/** Both files of messages have the same keys, which are bundled once. */
const sharedKeys = {
  name: "shared-keys",
  setup(build) {
    build.onLoad({ filter: /messages[\\/]zh\.json$/ }, ({ path }) => {
      const en = JSON.parse(readFileSync(join(dirname(path), "en.json"), "utf8"));
      const zh = JSON.parse(readFileSync(path, "utf8"));
      const keys = Object.keys(en);
      const differing = [...keys.filter((key) => !(key in zh)), ...Object.keys(zh).filter((key) => !(key in en))];
      if (differing.length) throw new Error(`only one language has ${differing.join(", ")}`);
      const contents = `import en from "./en.json";
        const texts = ${JSON.stringify(keys.map((key) => zh[key]))};
        export default Object.fromEntries(Object.keys(en).map((key, at) => [key, texts[at]]));`;
      return { contents, loader: "js" };
    });
  },
};

const { metafile } = await build({
  metafile: true,
  plugins: [sharedKeys],
  entryPoints: { app: join(here, "src", "main.js") },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome123", "firefox120", "safari17.5"],
  charset: "utf8",
  legalComments: "eof",
  banner: { js: `/* sources ${sourceHash()} */` },
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) {
  copyFileSync(join(here, "src", name), join(out, name));
}

// The licences of the libraries in the bundle ask for their texts to be passed on.
const libraries = new Set(
  Object.keys(metafile.inputs).flatMap((name) => name.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? []),
);
const texts = [...libraries].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  if (!file) throw new Error(`${name} has no file with its licence`);
  return `${name}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync(join(out, "LICENSES.txt"), texts.join(`\n${"-".repeat(72)}\n\n`));
