// Compresses every file of dist beside itself (.gz, .br) and fails when the app outgrows its budget.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BUDGET = 150 * 1024;
const dist = new URL("../dist", import.meta.url).pathname;

let total = 0;
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || /\.(gz|br)$/.test(entry.name)) continue;
  const path = join(entry.parentPath, entry.name);
  const bytes = readFileSync(path);
  const gzip = gzipSync(bytes, { level: 9 });
  writeFileSync(`${path}.gz`, gzip);
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
  );
  total += gzip.length;
}
const kilobytes = (n) => `${(n / 1024).toFixed(1)} KB`;
if (total > BUDGET) {
  console.error(`the app is ${kilobytes(total)} gzipped, more than its budget of ${kilobytes(BUDGET)}`);
  process.exit(1);
}
console.log(`web app: ${kilobytes(total)} gzipped of ${kilobytes(BUDGET)}`);
