#!/usr/bin/env node
// keyless-pull <command>, also as `kubectl keyless-pull <command>`.
import { runInProcess } from './process-io.ts';

await runInProcess(process.argv.slice(2));
