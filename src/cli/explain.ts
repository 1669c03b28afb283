// keyless-pull explain: one pod's story from admission to pull, and what to do now. Works from the cluster's own objects;
// with the config it says of every rule why it was chosen or not.
import { hostOfImage } from '../core/image-reference.ts';
import { loadConfig } from '../config.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode, type Paint } from './output.ts';
import { printable, timestampOf } from './printable.ts';
import { openTools, podNameOf, type ClusterOptions, type ReplacedTools } from './user-choice.ts';
import { annotatedRules, gatherFacts, type PodFacts } from './explain/facts.ts';
import { ruleVerdicts, type RuleVerdict } from './explain/rules.ts';
import { storyOf, type Chapter } from './explain/story.ts';
import type { Outcome } from './doctor/step.ts';

export interface ExplainOptions extends ClusterOptions {
  readonly config?: string;
  readonly ownNamespace: string;
}

interface ImageLine {
  readonly container: string;
  readonly image: string;
  readonly host: string;
  /** The rule that admission chose, as record or annotation have it; empty: none is known. */
  readonly rule: string;
  /** Absent without --config. */
  readonly rules?: readonly RuleVerdict[];
}

/** @param words `pod NAME`. @param replaced for tests */
export async function explain(
  words: readonly string[],
  options: ExplainOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  const name = podNameOf(words);
  const config = options.config === undefined ? undefined : loadConfig(options.config);
  await using tools = await openTools(options, io, replaced);
  const { ownNamespace } = options;
  const facts = await gatherFacts(tools.cluster, name, {
    ownNamespace,
    config,
    now: () => tools.clock.now(),
  });
  const story = storyOf(facts);
  const images = imageLines(facts);
  const isFine = story.every(({ outcome }) => outcome !== 'failed');
  const { pod } = facts;
  const result = {
    pod: pod.name,
    namespace: pod.namespace,
    account: pod.serviceAccount,
    images,
    story,
    events: facts.events.map(({ at, kind, name: of, type, reason, note, count }) => {
      return { at: timestampOf(at), about: `${kind}/${of}`, type, reason, note, count };
    }),
    ok: isFine,
  };
  writeResult(io, options.output, result, () => {
    const paint = createPaint(options.color);
    return [
      ...titleLines(facts, paint),
      ...images.flatMap((line) => imageText(line, paint)),
      ...story.flatMap((chapter) => chapterText(chapter, paint)),
      ...result.events.map((event) => eventText(event, paint)),
      paint.strong(isFine ? 'nothing stands in its way' : 'something stands in its way: see the cures'),
      '',
    ].join('\n');
  });
  return isFine ? 0 : 1;
}

function imageLines(facts: PodFacts): ImageLine[] {
  const { pod, records, account, namespace, config } = facts;
  const named = annotatedRules(pod);
  return pod.images.map(({ name: container, image }) => {
    const host = hostOfImage(image) ?? '';
    const record = [...records.values()].find((one) => one.host === host);
    // One image's registry without a record: the annotation's only rule is its.
    const rule = record?.rule ?? (named.length === 1 && pod.images.length === 1 ? named[0]?.rule : '');
    const subject = account ?? { name: pod.serviceAccount, annotations: {} };
    const rules = config && host !== '' && ruleVerdicts(config.rules, host, subject, namespace?.labels);
    return { container, image, host, rule: rule ?? '', ...(rules && { rules }) };
  });
}

function titleLines({ pod }: PodFacts, paint: Paint): string[] {
  const { namespace, name, serviceAccount } = pod;
  return [paint.strong(printable(`pod ${namespace}/${name}, ServiceAccount ${serviceAccount}`))];
}

function imageText({ container, image, host, rule, rules = [] }: ImageLine, paint: Paint): string[] {
  const from = host === '' ? 'names no registry' : `from ${host}${rule && `, rule ${rule}`}`;
  return [
    `· image       ${printable(`${container}: ${image}, ${from}`)}`,
    ...rules.flatMap((verdict) => [
      `    ${verdict.isChosen ? paint.added('→') : paint.faint('–')} ${printable(`${verdict.rule}: ${verdict.because}`)}`,
      ...verdict.faults.map((fault) => `      ${paint.removed(printable(fault))}`),
    ]),
  ];
}

const SIGNS: Readonly<Record<Outcome, string>> = { ok: '✓', failed: '✗', skipped: '–', warning: '!' };
const WIDTH = 'credential'.length;

function chapterText({ about, outcome, found, cure }: Chapter, paint: Paint): string[] {
  const brush = { ok: paint.added, failed: paint.removed, warning: paint.strong, skipped: paint.faint };
  const told = outcome === 'skipped' ? paint.faint(printable(`not checked: ${found}`)) : printable(found);
  const line = `${brush[outcome](SIGNS[outcome])} ${about.padEnd(WIDTH)}  ${told}`;
  return cure === undefined ? [line] : [line, `  ${' '.repeat(WIDTH)}  now: ${printable(cure)}`];
}

interface ToldEvent {
  readonly at: string | null;
  readonly about: string;
  readonly reason: string;
  readonly note: string;
  readonly count: number;
}

function eventText({ at, about, reason, note, count }: ToldEvent, paint: Paint): string {
  const times = count > 1 ? ` (${count} times)` : '';
  return `· event       ${paint.faint(at ?? '-')} ${printable(`${about} ${reason}${times}: ${note}`)}`;
}
