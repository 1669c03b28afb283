// The chart as `helm package` would make it, but byte for byte the same from the same source, and without helm.
// `node tools/chart/package.ts [FOLDER]` writes keyless-pull-VERSION.tgz there and prints its path.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { tarArchive } from '../tar-archive.ts';
import { chartFolder } from './chart-files.ts';

/** @returns the path of the package in `folder` */
export function packageChart(folder: string): string {
  const chart = fileURLToPath(chartFolder);
  const paths = readdirSync(chart, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name).slice(chart.length));
  const { name, version }: Record<'name' | 'version', string> = parse(
    readFileSync(join(chart, 'Chart.yaml'), 'utf8'),
  );
  // Helm looks for Chart.yaml first.
  const sorted = ['Chart.yaml', ...paths.filter((path) => path !== 'Chart.yaml').toSorted()];
  const files = sorted.map((path) => ({ path: `${name}/${path}`, content: readFileSync(join(chart, path)) }));
  const destination = join(folder, `${name}-${version}.tgz`);
  writeFileSync(destination, gzipSync(tarArchive(files), { level: 9 }));
  return destination;
}

if (import.meta.main) console.log(packageChart(process.argv[2] ?? '.'));
