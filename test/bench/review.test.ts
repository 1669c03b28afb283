// The reviews of the bench: what they ask for, and that a wrong answer to one is seen.
import { expect, test } from 'vitest';
import { faultOf } from '../../bench/load/tally.ts';
import { ACCOUNT_MANIFEST, CONFIG, expectedPatch, POD_BYTES, reviewText } from '../../bench/mutate/review.ts';
import { readReview } from '../../src/admission/review.ts';
import { parseConfig } from '../../src/config.ts';
import { patchFor } from '../../src/core/pod-patch.ts';
import { viewAccount, viewPod } from '../../src/core/pod-view.ts';
import { planPulls } from '../../src/core/pull-plan.ts';

const UID = '6e3c9a10-52f4-4f0b-8d57-000000000001';
const { rules } = parseConfig(CONFIG, 'config');
const [rule] = rules;
if (!rule) throw new TypeError('the config has no rule');
const expected = expectedPatch(rule);

function answerWith(operations: unknown, uid = UID): Buffer {
  const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
  return Buffer.from(JSON.stringify({ response: { uid, allowed: true, patchType: 'JSONPatch', patch } }));
}

test('the pod of the bench has 4 KB, and its review is one', () => {
  expect(Math.abs(POD_BYTES - 4096)).toBeLessThan(100);
  expect(readReview(Buffer.from(reviewText(UID)))).toMatchObject({
    uid: UID,
    kind: 'Pod',
    operation: 'CREATE',
  });
});

test('it needs one credential, and the patch that is expected is the one that the core makes', () => {
  const { object, namespace } = readReview(Buffer.from(reviewText(UID)));
  const pod = viewPod(object, namespace);

  const plan = planPulls(pod, viewAccount(ACCOUNT_MANIFEST), {}, { rules, needsPerPod: 8 });

  expect(plan.needs).toHaveLength(1);
  expect(patchFor(object, pod, plan, false)).toEqual(expected);
});

test('the right answer has no fault', () => {
  expect(faultOf(answerWith(expected), UID, expected)).toBeUndefined();
});

test('another uid, a patch that lacks something, and no patch at all are faults', () => {
  expect(faultOf(answerWith(expected, 'another'), UID, expected)).toContain('carries uid another');
  expect(faultOf(answerWith(expected.slice(1)), UID, expected)).toContain('unexpected patch');
  expect(faultOf(Buffer.from(`{"response":{"uid":"${UID}","allowed":true}}`), UID, expected)).toBe(
    'the pod was not given a patch',
  );
});
