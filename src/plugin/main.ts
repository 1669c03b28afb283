#!/usr/bin/env node
// keyless-pull-credential-provider: the kubelet's exec plugin (KEP-4412). One request on stdin, one answer on stdout.
import { onRecentNode } from '../node-version.ts';

// Not awaited: the executable is a bundle of CommonJS.
void onRecentNode(async () => {
  const { answerProcess } = await import('./answer-process.ts');
  await answerProcess();
});
