// What a pod asks to have mounted, by two annotations. Whoever may create pods writes them, so they are read strictly:
// what cannot be read leads to a sentence, never to more.
import { DOCKER_CONFIG_ANNOTATION, MOUNT_ANNOTATION } from './vocabulary.ts';
import type { LeftOut, LeftOutReason } from './pull-plan.ts';
import type { PodView } from './pod-view.ts';

/** Containers are init and ordinary ones that the pod has, in its order, and at least one. */
export interface InPodRequest {
  /** Where the tokens of the pod's rules are to be mounted. */
  readonly mount?: readonly string[];
  /** Where which rule's Secret is to be the docker config. */
  readonly dockerConfig?: { readonly rule: string; readonly containers: readonly string[] };
  readonly leftOut: readonly LeftOut[];
}

const LONGEST_VALUE = 4096;
const MOST_NAMES = 64;
const MOST_QUOTED = 80;

export function inPodRequestOf(pod: PodView): InPodRequest {
  const leftOut: LeftOut[] = [];
  const mount = mountOf(pod, leftOut);
  const dockerConfig = dockerConfigOf(pod, leftOut);
  return { ...(mount && { mount }), ...(dockerConfig && { dockerConfig }), leftOut };
}

/** The init and ordinary containers: nothing can be mounted into ephemeral ones. */
export function mountableContainers({ images }: PodView): string[] {
  return images
    .filter(({ origin, name }) => (origin === 'init' || origin === 'container') && name !== '')
    .map(({ name }) => name);
}

/** Something that an annotation asks for and that is not given. */
export function notGiven(reason: LeftOutReason, annotation: string, why: string): LeftOut {
  return { reason, host: '', container: '', message: `annotation ${annotation}: ${why}` };
}

/** What somebody wrote, on one line: control and format characters (they could turn the sentence round) are shown as "?". */
export function quoted(text: string): string {
  const plain = text.toWellFormed().replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
  const shown = plain.length > MOST_QUOTED ? `${plain.slice(0, MOST_QUOTED - 1).toWellFormed()}…` : plain;
  return JSON.stringify(shown);
}

function mountOf(pod: PodView, leftOut: LeftOut[]): readonly string[] | undefined {
  const text = textOf(pod, MOUNT_ANNOTATION, leftOut);
  if (text === undefined) return undefined;
  return containersOf(pod, MOUNT_ANNOTATION, text.split(','), leftOut);
}

function dockerConfigOf(pod: PodView, leftOut: LeftOut[]): InPodRequest['dockerConfig'] {
  const text = textOf(pod, DOCKER_CONFIG_ANNOTATION, leftOut);
  if (text === undefined) return undefined;
  const colon = text.indexOf(':');
  const rule = text.slice(0, Math.max(0, colon)).trim();
  const entries = text.slice(colon + 1).split(',');
  const second = entries.findIndex((entry) => entry.includes(':'));
  if (rule === '' || second === 0) {
    const why = `${quoted(text)} is not <rule>:<container>,<container> or <rule>:*`;
    leftOut.push(notGiven('request-malformed', DOCKER_CONFIG_ANNOTATION, why));
    return undefined;
  }
  if (second > 0) {
    const rest = quoted(entries.slice(second).join(',').trim());
    const why = `one rule only, because a docker config cannot be merged: ${rest} is left out`;
    leftOut.push(notGiven('request-malformed', DOCKER_CONFIG_ANNOTATION, why));
  }
  const named = second > 0 ? entries.slice(0, second) : entries;
  const containers = containersOf(pod, DOCKER_CONFIG_ANNOTATION, named, leftOut);
  return containers && { rule, containers };
}

/** An empty annotation asks for nothing: templates leave it behind. */
function textOf(pod: PodView, annotation: string, leftOut: LeftOut[]): string | undefined {
  const text = pod.annotations[annotation] ?? '';
  if (text.length > LONGEST_VALUE) {
    leftOut.push(notGiven('request-malformed', annotation, `it is longer than ${LONGEST_VALUE} characters`));
    return undefined;
  }
  return text.trim() === '' ? undefined : text;
}

function containersOf(
  pod: PodView,
  annotation: string,
  entries: readonly string[],
  leftOut: LeftOut[],
): readonly string[] | undefined {
  const names = new Set(entries.map((entry) => entry.trim()));
  const existing = mountableContainers(pod);
  const why =
    entries.length > MOST_NAMES
      ? `it names more than ${MOST_NAMES} containers`
      : names.has('') || (names.has('*') && names.size > 1)
        ? `${quoted(entries.join(','))} is no list of containers: names with commas between, or "*" alone`
        : undefined;
  if (why !== undefined) {
    leftOut.push(notGiven('request-malformed', annotation, why));
    return undefined;
  }
  const unknown = names.has('*') ? [] : [...names.difference(new Set(existing))];
  if (unknown.length > 0) {
    const what = `this pod has no init or ordinary container ${quoted(unknown.join(', '))}`;
    leftOut.push(notGiven('no-such-container', annotation, what));
  }
  const wanted = names.has('*') ? existing : existing.filter((name) => names.has(name));
  return wanted.length > 0 ? wanted : undefined;
}
