// Runs while the image is built: loads all that its programs load, at once or when a command needs it, so that Node finds it
// compiled when they start. Node writes what it has compiled when the process ends.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const SOURCE = '/app/src';

for (const file of readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })) {
  if (!file.endsWith('.ts')) continue;
  const path = join(SOURCE, file);
  for (const [, late = ''] of readFileSync(path, 'utf8').matchAll(/\bimport\('(\.[^']+)'\)/g))
    await import(join(dirname(path), late));
}
// The program itself last: it runs.
process.argv.splice(2, Infinity, '--version');
await import(`${SOURCE}/cli/main.ts`);
