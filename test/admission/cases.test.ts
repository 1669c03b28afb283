// Every file of test/cases is a test: the pod in, the verdict out, held to the API server's own rules for answers.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createMutatePod } from '../../src/admission/mutate-pod.ts';
import { readReview, writeReview } from '../../src/admission/review.ts';
import { createValidatePod } from '../../src/admission/validate-pod.ts';
import type { Verdict } from '../../src/admission/verdict.ts';
import { viewPod } from '../../src/core/pod-view.ts';
import { CREDENTIALS_ANNOTATION } from '../../src/core/vocabulary.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { acceptReview } from '../fakes/admission-acceptance.ts';
import { applyStrictly } from '../fakes/admission-pod-patch.ts';
import { createAdmissionView, createBlindLookup } from '../fakes/admission-view.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { readCase, type CaseHeader } from './case-file.ts';

const FOLDER = new URL('../cases/', import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));

describe.each(files)('%s', (file) => {
  const given = readCase(new URL(file, FOLDER).pathname);
  const { header } = given;

  test(header.case, async () => {
    const review = reviewFor(given.pod, given.oldPod, header);

    const verdict = await judge(review);

    const kind = header.path === '/mutate' ? 'mutating' : 'validating';
    const answer = acceptReview(writeReview(review, verdict), review.uid, kind);
    const { expect: wanted } = header;
    const told = !answer.allowed ? 'denied' : answer.operations.length > 0 ? 'patched' : 'allowed';
    expect(told).toBe(wanted.verdict);
    if (wanted.reason !== undefined) expect(verdict.reason).toBe(wanted.reason);
    expectParts(answer.warnings, wanted.warnings);
    for (const part of wanted.denied) expect(answer.status?.message).toContain(part);
    for (const [key, part] of Object.entries(wanted.audit)) expect(answer.audit[key]).toContain(part);

    const result = applyStrictly(given.pod, answer.operations);
    expectPod(result, answer.operations, wanted);
    if (kind === 'mutating' && answer.allowed) await expectNothingMore(result);
  });

  async function expectNothingMore(result: unknown): Promise<void> {
    const again = reviewFor(result, null, header);
    expect((await judge(again)).kind).toBe('allow');
  }

  function judge(review: ReturnType<typeof reviewFor>): Promise<Verdict> {
    const { namespaces, accounts, records, rules, now } = given;
    const clock = createHandClock(now);
    const view = createAdmissionView({ namespaces, accounts, records });
    const lookup = createBlindLookup(view);
    const { needsPerPod, policy, worker, path } = header;
    const call = { signal: () => new AbortController().signal };
    if (path === '/mutate') {
      const keeper = createKeeper({ view, clock });
      const workerIsAlive = () => worker === 'alive';
      return createMutatePod({
        view,
        lookup,
        keeper,
        settings: () => ({ rules, needsPerPod }),
        workerIsAlive,
        clock,
      })(call, review);
    }
    const settings = () => ({ rules, needsPerPod, policy });
    const validate = createValidatePod({ view, lookup, settings, onFinding: () => undefined, clock });
    return validate(call, review, path.slice('/validate/'.length) as 'enforce' | 'warn' | 'audit');
  }
});

/** Through the wire's own format, so that what JSON makes of a pod is what is judged. */
function reviewFor(pod: unknown, oldPod: unknown, { operation, subResource, dryRun }: CaseHeader) {
  const { name, namespace } = viewPod(pod);
  const request = {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    kind: { group: '', version: 'v1', kind: 'Pod' },
    resource: { group: '', version: 'v1', resource: 'pods' },
    ...(subResource && { subResource }),
    ...(name.endsWith('*') ? {} : { name }),
    namespace,
    operation,
    object: pod,
    oldObject: oldPod,
    dryRun,
  };
  return readReview(
    Buffer.from(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request })),
  );
}

function expectParts(texts: readonly string[], parts: readonly string[]): void {
  for (const [at, part] of parts.entries()) expect(texts[at]).toContain(part);
  expect(texts).toHaveLength(parts.length);
}

function expectPod(
  result: unknown,
  operations: readonly { path: string }[],
  wanted: CaseHeader['expect'],
): void {
  const pod = viewPod(result);
  if (wanted.patch) expect(operations).toEqual(wanted.patch);
  if (wanted.paths) expect(operations.map(({ path }) => path)).toEqual(wanted.paths);
  if (wanted.pullSecrets) expect(pod.pullSecrets).toEqual(wanted.pullSecrets);
  if (wanted.gates) expect(pod.gates).toEqual(wanted.gates);
  if (wanted.annotation !== undefined)
    expect(pod.annotations[CREDENTIALS_ANNOTATION]).toBe(wanted.annotation);
  if (wanted.result) expect(result).toMatchObject(wanted.result);
}
