// The sentences of docs/policy.md are those of the program.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { accountFindingsOf } from '../src/core/account-policy.ts';
import { findingsOf, Policy, policyModes } from '../src/core/pull-policy.ts';
import { aPod, aRule, anAccount, planOf } from './core/builders.ts';

const text = readFileSync(new URL('../docs/policy.md', import.meta.url), 'utf8');
const policy = Policy.parse({});
const nexus = { imagePullSecrets: [{ name: 'nexus' }] };

function messageOf(change: object, inAccount = {}): string | undefined {
  const pod = aPod(['registry.team.example/app'], nexus);
  const account = anAccount(inAccount);
  const question = { pod, account, plan: planOf(pod, {}, account), recorded: new Set<string>() };
  return findingsOf({ ...question, namespaceOptedIn: true, policy, now: 0, ...change })[0]?.message;
}

test('docs/policy.md shows the messages as they are', () => {
  const shown = /```text\n(.*?)\n```/s.exec(text)?.[1]?.split('\n');

  expect(shown).toEqual([
    messageOf({}),
    messageOf({ writtenIn: 'the template of Deployment web' }),
    messageOf({ namespaceOptedIn: false }, nexus),
    accountFindingsOf({
      account: anAccount(nexus),
      rules: [aRule()],
      namespaceLabels: {},
      namespaceOptedIn: true,
      policy,
      ownerOf: () => undefined,
      now: 0,
    })[0]?.message,
  ]);
});

test('docs/policy.md has every mode', () => {
  for (const mode of policyModes) expect(text).toMatch(new RegExp(String.raw`^\| \`${mode}\``, 'm'));
});
