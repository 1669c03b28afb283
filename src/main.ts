#!/usr/bin/env node
// keyless-pull serve, under the shortest name: node src/main.ts --config …
import { onRecentNode } from './node-version.ts';

await onRecentNode(async () => {
  const { runInProcess } = await import('./cli/process-io.ts');
  await runInProcess(['serve', ...process.argv.slice(2)]);
});
