// POST /mutate for a 4 KB pod whose credential is ready, against a bare node:https and a bare express server that parse
// the same review and answer the same bytes.
import { resolve } from 'node:path';
import { parseConfig } from '../../src/config.ts';
import { startChild, type Child } from '../child-process.ts';
import { openConnection, type Target } from '../load/connection.ts';
import { faultOf } from '../load/tally.ts';
import { medianRatio } from '../statistics.ts';
import type { Bench, BenchOptions, BenchReport, Check, Ratio } from '../bench.ts';
import { SERVERS, type Figures, type Measured, type ServerName } from './figures.ts';
import { createFolder } from './folder.ts';
import { CONFIG, POD_BYTES, expectedPatch } from './review.ts';
import { measureRounds } from './rounds.ts';
import { tableOf } from './table.ts';
import type { AnswerTemplate } from './server-child.ts';

/** What ours must reach of the reviews/s of the others: it plans, patches, counts and logs besides. */
const LEAST_SHARE = { express: 0.8, https: 0.6 } as const;

export const mutateBench: Bench = {
  name: 'mutate',
  title: `POST /mutate, a pod of ${POD_BYTES} bytes, credential ready: 25 connections, each server and the load in a process of its own`,
  run,
};

async function run(options: BenchOptions): Promise<BenchReport> {
  const expected = expectedPatchOfConfig();
  await using folder = await createFolder();
  await using children = new AsyncDisposableStack();
  const startServer = (name: ServerName) =>
    children.use(
      startChild(`mutate/${name}-server.ts`, [folder.path], profiling(name, options.profileFolder)),
    );

  const ours = startServer('keyless-pull');
  const port = await ours.ask<number>('port');
  await folder.writeAnswer(await templateFrom({ port, authority: folder.authority }, expected));
  const servers: Record<ServerName, Child> = {
    'keyless-pull': ours,
    express: startServer('express'),
    https: startServer('https'),
  };
  const generator = children.use(startChild('load/generator.ts', [folder.path]));
  return reportOf(await measureRounds(servers, generator, expected, options));
}

function profiling(name: ServerName, folder: string | undefined): string[] {
  if (folder === undefined) return [];
  return ['--cpu-prof', '--cpu-prof-dir', resolve(folder), '--cpu-prof-name', `${name}.cpuprofile`];
}

function expectedPatchOfConfig(): readonly object[] {
  const [rule] = parseConfig(CONFIG, 'config').rules;
  if (!rule) throw new TypeError('the config has no rule');
  return expectedPatch(rule);
}

/** One review is answered before anything is measured: what comes back is what the others will say. */
async function templateFrom(target: Target, expected: readonly object[]): Promise<AnswerTemplate> {
  const connection = await openConnection(target, 0);
  const { uid, answer } = await new Promise<Parameters<Parameters<typeof connection.send>[0]>[0]>((done) =>
    connection.send(done),
  );
  connection.close();
  if (answer instanceof Error) throw answer;
  const fault = answer.status === 200 ? faultOf(answer.body, uid, expected) : `status ${answer.status}`;
  if (fault !== undefined) throw new Error(`the webhook does not answer as it must: ${fault}`);
  const [before = '', after = ''] = answer.body.toString().split(uid);
  return { before, after };
}

function reportOf(measured: Measured): BenchReport {
  const ratio = (read: (figures: Figures) => number, against: 'express' | 'https') =>
    medianRatio(measured['keyless-pull'].map(read), measured[against].map(read));
  const perSecond = (figures: Figures) => figures.perSecond;
  const ratios: Ratio[] = (['express', 'https'] as const).flatMap((against) => [
    { name: `mutate-per-second-vs-${against}`, value: ratio(perSecond, against) },
    { name: `mutate-p99-vs-${against}`, value: ratio(({ p99Ms }) => p99Ms, against) },
    { name: `mutate-memory-vs-${against}`, value: ratio(({ residentBytes }) => residentBytes, against) },
  ]);
  const shares = (['express', 'https'] as const).map((against): Check => {
    const value = ratio(perSecond, against);
    const least = LEAST_SHARE[against];
    return {
      passed: value >= least,
      text: `at least ${least} of the reviews/s of a bare ${against} server (${value.toFixed(2)})`,
    };
  });
  return {
    table: tableOf(measured),
    ratios,
    checks: [...SERVERS.map((name) => answersOf(name, measured[name])), ...shares],
  };
}

function answersOf(name: ServerName, rounds: readonly Figures[]): Check {
  const sum = (read: (figures: Figures) => number) =>
    rounds.reduce((total, figures) => total + read(figures), 0);
  const errors = sum((figures) => figures.errors);
  const looked = sum(({ sampled }) => sampled);
  const first = rounds.find(({ firstError }) => firstError !== undefined)?.firstError;
  return {
    passed: errors === 0 && looked > 0,
    text:
      `${name}: ${sum(({ answered }) => answered)} reviews answered, ${looked} looked into, ` +
      `${errors} wrong or lost${first === undefined ? '' : `, first: ${first}`}`,
  };
}
