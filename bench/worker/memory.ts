// What a credential that is held costs in memory: the same process, over a cluster with none and over one with many.
import { startChild } from '../child-process.ts';
import { median } from '../statistics.ts';
import { startListServer } from './list-server.ts';

export interface Memory {
  readonly noneBytes: number;
  readonly heldBytes: number;
}

/** As the image starts it: without, V8 keeps 128 MB for young objects on a large machine, once a list has filled them. */
const IMAGE_FLAGS = ['--max-semi-space-size=8'];

/** Pages of the program itself come and go with what else the machine does: a tenth of the smaller figure. */
const ROUNDS = 3;

/** Medians of three processes each, in turns. */
export async function measureMemory(held: number): Promise<Memory> {
  const none: number[] = [];
  const many: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    none.push(await residentWith(0));
    many.push(await residentWith(held));
  }
  return { noneBytes: median(none), heldBytes: median(many) };
}

async function residentWith(held: number): Promise<number> {
  await using server = await startListServer(held);
  const words = [server.kubeconfig, server.config];
  await using child = startChild('worker/serve-child.ts', words, ['--expose-gc', ...IMAGE_FLAGS]);
  return await child.ask<number>('memory');
}
