// Random rules, accounts and requests out of few words, so that they often meet.
import fc from 'fast-check';
import { grantableActions } from '../../src/token-server/access-rules.ts';

const anyWord = fc.constantFrom('a', 'b', 'team-a', 'team-b', 'builder');

export const anyRepository = fc
  .array(anyWord, { minLength: 1, maxLength: 4 })
  .map((words) => words.join('/'));

const anySegment = fc.oneof(anyWord, fc.constantFrom('*', '{namespace}', '{serviceAccount}'));

export const anyPattern = fc
  .tuple(fc.array(anySegment, { maxLength: 3 }), fc.oneof(anySegment, fc.constant('**')))
  .map(([front, last]) => [...front, last].join('/'));

const anyNamePattern = fc.oneof(anyWord, fc.constantFrom('*', 'team-*', '*-a', 'b*r'));

export const anySubject = fc.record({
  issuer: fc.constantFrom('https://one.example', 'https://two.example'),
  namespace: anyWord,
  serviceAccount: anyWord,
  claims: fc.constant({}),
});

export const anyRule = fc.record({
  issuer: fc.constantFrom(undefined, 'https://one.example', 'https://two.example'),
  namespaces: fc.array(anyNamePattern, { minLength: 1, maxLength: 2 }),
  serviceAccounts: fc.array(anyNamePattern, { minLength: 1, maxLength: 2 }),
  repositories: fc.array(anyPattern, { minLength: 1, maxLength: 3 }),
  actions: fc.subarray([...grantableActions], { minLength: 1 }),
});

export const anyScope = fc
  .record({
    type: fc.constantFrom('repository', 'repository', 'repository', 'registry'),
    class: fc.constantFrom(undefined, undefined, 'plugin'),
    name: anyRepository,
    actions: fc.subarray(['pull', 'push', '*', 'delete'], { minLength: 1 }),
  })
  .map(({ class: ofClass, ...scope }) => ({ ...scope, ...(ofClass !== undefined && { class: ofClass }) }));
