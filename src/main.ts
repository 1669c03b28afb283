#!/usr/bin/env node
// keyless-pull serve, under the shortest name: node src/main.ts --config …
import { runInProcess } from './cli/process-io.ts';

await runInProcess(['serve', ...process.argv.slice(2)]);
