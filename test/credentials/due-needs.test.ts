// What is remembered of records that somebody deleted.
import { expect, test } from 'vitest';
import { plannedOf, ruleFrom } from '../fakes/builders.ts';
import { recordManifest, viewRecord } from '../../src/core/pull-credential-record.ts';
import { createDueNeeds } from '../../src/credentials/due-needs.ts';
import { createEndpointLimits } from '../../src/credentials/endpoint-limits.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { NAMESPACE, openStage } from './worker-stage.ts';

const endpoint = 'https://tokens.team.example/token';

test('who never leads remembers the newest of the records that are deleted in months, not all', () => {
  const rule = ruleFrom({ hosts: ['*.team.example'], exchange: { kind: 'token-exchange', endpoint } });
  const { clock, fake, settings } = openStage();
  const { view } = fake.client();
  const account = view.account(NAMESPACE, 'builder');
  if (!account) throw new Error('there is no account');
  const keeper = createKeeper({ view, clock });
  const limits = createEndpointLimits({ clock, rate: () => settings });
  const podGate = { review: async () => [], onChange: () => undefined };
  const dueNeeds = createDueNeeds({ view, keeper, podGate, clock, limits, rules: () => [rule] });
  const needs = Array.from(
    { length: 10_001 },
    (_, at) => plannedOf(account, rule, `r${at}.team.example`).need,
  );

  for (const need of needs)
    dueNeeds.onChange({ kind: 'record', gone: true, object: viewRecord(recordManifest(need)) });

  const remembered = needs.filter((need) => dueNeeds.dueAt(need) > clock.now());
  expect(remembered).toHaveLength(10_000);
  expect(remembered.at(-1)).toBe(needs.at(-1));
});
