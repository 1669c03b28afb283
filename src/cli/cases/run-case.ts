// Runs a case through what the webhook runs, and says what is not as expected.
import { isDeepStrictEqual } from 'node:util';
import { createMutatePod } from '../../admission/mutate-pod.ts';
import { readReview, writeReview, type AdmissionRequest } from '../../admission/review.ts';
import { createValidate } from '../../admission/validate.ts';
import { systemClock } from '../../clock.ts';
import { fieldsOf, textOf } from '../../core/fields.ts';
import { viewPod } from '../../core/pod-view.ts';
import { CREDENTIALS_ANNOTATION } from '../../core/vocabulary.ts';
import { createKeeper } from '../../credentials/keeper.ts';
import { acceptReview, type AcceptedReview } from './answer-acceptance.ts';
import { applyStrictly } from './strict-patch.ts';
import type { ValidateMode } from '../../admission/policy-verdict.ts';
import type { Verdict } from '../../admission/verdict.ts';
import type { ClusterView } from '../../cluster/cluster.ts';
import type { Case } from './case-file.ts';
import type { Expectation } from './case-header.ts';

/** One expectation that does not hold, or a promise that every case is held to. */
export interface Failure {
  /** The key of `expect`; `answer`, `patch` and `second pass` for what nobody has to write. */
  readonly what: string;
  readonly wanted: unknown;
  readonly got: unknown;
}

export interface CaseRun {
  readonly failures: readonly Failure[];
  /** All that could be expected, as it came out: what `--update` writes. */
  readonly actual: Readonly<Record<string, unknown>>;
}

export async function runCase(given: Case): Promise<CaseRun> {
  const { header, object, oldObject } = given;
  const kind = header.path === '/mutate' ? 'mutating' : 'validating';
  const failures: Failure[] = [];
  const review = reviewFor(given, object, oldObject);
  const verdict = await judge(given, review);
  const answer = promised('answer', failures, () =>
    acceptReview(writeReview(review, verdict), review.uid, kind),
  );
  if (!answer) return { failures, actual: {} };
  const result = promised('patch', failures, () => applyStrictly(object, answer.operations));
  const actual = actualOf(verdict, answer, result ?? object, header.expect);
  if (!header.expect) failures.push({ what: 'expect', wanted: undefined, got: actual });
  else failures.push(...unmet(header.expect, actual));
  if (kind === 'mutating' && answer.allowed && result !== undefined) {
    const again = await judge(given, reviewFor(given, result, null));
    if (again.kind !== 'allow')
      failures.push({ what: 'second pass', wanted: 'nothing more to change', got: again });
  }
  return { failures, actual };
}

function promised<Thing>(what: string, failures: Failure[], make: () => Thing): Thing | undefined {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    failures.push({ what, wanted: 'what the API server takes, and we promise', got: error.message });
    return undefined;
  }
}

function actualOf(
  verdict: Verdict,
  answer: AcceptedReview,
  result: unknown,
  wanted: Expectation | undefined,
): Record<string, unknown> {
  const pod = viewPod(result);
  const isPatched = answer.operations.length > 0;
  return {
    verdict: !answer.allowed ? 'denied' : isPatched ? 'patched' : 'allowed',
    reason: verdict.reason,
    patch: answer.operations,
    paths: answer.operations.map(({ path }) => path),
    pullSecrets: pod.pullSecrets,
    gates: pod.gates,
    annotation: pod.annotations[CREDENTIALS_ANNOTATION],
    result: wanted?.result && sharesOf(result, wanted.result),
    warnings: answer.warnings,
    denied: answer.status ? [answer.status.message] : [],
    audit: answer.audit,
  };
}

/** Texts are expected in parts; everything else as it is. */
function unmet(wanted: Expectation, actual: Readonly<Record<string, unknown>>): Failure[] {
  return Object.entries(wanted).flatMap(([what, part]) => {
    const got = actual[what];
    return part === undefined || isMet(what, part, got) ? [] : { what, wanted: part, got };
  });
}

function isMet(what: string, part: unknown, got: unknown): boolean {
  switch (what) {
    case 'warnings':
      return areParts(textsOf(part), textsOf(got));
    case 'denied':
      return textsOf(part).every((one) => textsOf(got)[0]?.includes(one));
    case 'audit':
      return Object.entries(fieldsOf(part)).every(([key, one]) =>
        textOf(fieldsOf(got)[key]).includes(textOf(one)),
      );
    default:
      return isDeepStrictEqual(part, got);
  }
}

function areParts(parts: readonly string[], texts: readonly string[]): boolean {
  return parts.length === texts.length && parts.every((part, at) => texts[at]?.includes(part));
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Of a whole only what is asked after: members of maps by their names, lists as long as they are. */
function sharesOf(whole: unknown, asked: unknown): unknown {
  if (Array.isArray(asked) && Array.isArray(whole))
    return whole.map((item, at) => (at < asked.length ? sharesOf(item, asked[at]) : item));
  if (!isMap(asked) || !isMap(whole)) return whole;
  const shares = Object.keys(asked).filter((key) => key in whole);
  return Object.fromEntries(shares.map((key) => [key, sharesOf(whole[key], asked[key])]));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function judge(given: Case, review: AdmissionRequest): Promise<Verdict> {
  const { rules, needsPerPod, policy, header } = given;
  const view = viewOf(given);
  const clock = { ...systemClock, now: () => given.now };
  // A live look finds nothing more than what the case says.
  const lookup = {
    account: async (namespace: string, name: string) => view.account(namespace, name),
    namespace: async (name: string) => view.namespace(name),
  };
  const call = { signal: () => new AbortController().signal };
  if (header.path === '/mutate') {
    const keeper = createKeeper({ view, clock });
    const workerIsAlive = () => header.worker === 'alive';
    const settings = () => ({ rules, needsPerPod });
    return createMutatePod({ view, lookup, keeper, settings, workerIsAlive, clock })(call, review);
  }
  const settings = () => ({ rules, needsPerPod, policy });
  const validate = createValidate({ view, lookup, settings, onFinding: () => undefined, clock });
  return validate(call, review, header.path.slice('/validate/'.length) as ValidateMode);
}

function viewOf({ namespaces, accounts, records }: Case): ClusterView {
  return {
    namespace: (name) => namespaces.find((namespace) => namespace.name === name),
    namespaces: () => namespaces,
    accounts: () => accounts,
    account: (namespace, name) =>
      accounts.find((account) => account.namespace === namespace && account.name === name),
    record: (namespace, name) =>
      records.find((record) => record.namespace === namespace && record.name === name),
    recordsOf: (namespace, account) =>
      records.filter((record) => record.namespace === namespace && record.account === account),
    records: () => records,
    pods: () => [],
    unsynced: () => [],
    onChange: () => () => undefined,
  };
}

/** Through the wire's own format, so that what JSON makes of an object is what is judged. */
function reviewFor({ header, group, kind }: Case, object: unknown, oldObject: unknown): AdmissionRequest {
  const { operation, subResource, dryRun } = header;
  const { name, namespace } = viewPod(object);
  const request = {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    kind: { group, version: 'v1', kind },
    resource: { group, version: 'v1', resource: `${kind.toLowerCase()}s` },
    ...(subResource && { subResource }),
    ...(name.endsWith('*') ? {} : { name }),
    namespace,
    operation,
    object,
    oldObject,
    dryRun,
  };
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
  return readReview(Buffer.from(JSON.stringify(review)));
}
