#!/usr/bin/env node
// keyless-pull <command>, also as `kubectl keyless-pull <command>`.
import { onRecentNode } from '../node-version.ts';

await onRecentNode(async () => {
  const { runInProcess } = await import('./process-io.ts');
  await runInProcess(process.argv.slice(2));
});
