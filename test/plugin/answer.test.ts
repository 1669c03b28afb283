// Which rule answers for which token, and under which keys, with an exchange that only says what it was asked.
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config.ts';
import { patternMatches } from '../../src/cli/kubelet/image-pattern.ts';
import { answerRequest } from '../../src/plugin/answer.ts';
import { Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import type { Exchange } from '../../src/registry/exchange.ts';

const HOST = '444455556666.dkr.ecr.eu-west-1.amazonaws.com';
const AUDIENCE = 'pull.team.example';
const role = (name: string) => `arn:aws:iam::111122223333:role/${name}`;
const rules = (more = '') =>
  parseConfig(
    `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: cloud
    hosts: ['*.dkr.ecr.*.amazonaws.com']
    registries: ['444455556666']
    audience: ${AUDIENCE}
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
    delivery: [kubelet]
${more}`,
    'config.yaml',
  );

async function ask(
  config: ReturnType<typeof rules>,
  image: string,
  roles: readonly string[],
  { refused, lifeMs = 600_000 }: { refused?: string; lifeMs?: number } = {},
) {
  const clock = createHandClock();
  await using issuer = await createFakeIssuer({ clock, audience: AUDIENCE });
  const asked: string[] = [];
  const exchange: Exchange = async (_call, { planned, issuedAt }) => {
    const { principal } = planned.need;
    asked.push(`${planned.need.identity.namespace}/${planned.need.identity.account} ${planned.rule.name}`);
    if (refused !== undefined && principal === role(refused))
      throw new Problem('exchange-waiting', 'the trust is not known everywhere yet');
    const password = new SecretText(principal);
    return { hosts: [HOST], username: 'AWS', password, issuedAt, expiresAt: clock.now() + lifeMs };
  };
  const annotations = { 'keyless-pull.dev/role-arn': roles.map(role).join(',') };
  const token = new SecretText(await issuer.token());
  const answer = await answerRequest(config, { image, token, annotations }, { exchange, clock });
  return { answer, asked };
}

test('each of several principals has a key of its own, all match the image, and the kubelet tries them in order', async () => {
  const names = Array.from({ length: 16 }, (_, at) => `role-${at}`);
  const image = `${HOST}/team/the-application`;

  const { answer } = await ask(rules(), image, names);

  const keys = Object.keys(answer.auth).toSorted().toReversed();
  expect(keys).toHaveLength(16);
  expect(keys.every((key) => patternMatches(key, image))).toBe(true);
  expect(keys.map((key) => answer.auth[key]?.password.reveal())).toEqual(names.map(role));
  expect(answer.cacheKeyType).toBe('Image');
});

test('a name that is too short for its principals is refused, and not answered with some of them', async () => {
  await expect(ask(rules(), `${HOST}/ab`, ['a', 'b', 'c', 'd'])).rejects.toMatchObject({
    code: 'too-many-needs',
  });
  await expect(ask(rules(), `${HOST}/ab`, ['a', 'b', 'c'])).resolves.toBeDefined();
});

test('no key begins with what the kubelet takes for the version of an API', async () => {
  const { answer } = await ask(rules(), `${HOST}/v2/app`, ['a', 'b', 'c']);

  expect(Object.keys(answer.auth)).toEqual([`${HOST}/v2`, `${HOST}/v`, HOST]);
});

test('ten minutes are remembered for nine', async () => {
  const { answer } = await ask(rules(), `${HOST}/app`, ['a']);

  expect(answer).toMatchObject({ cacheKeyType: 'Registry', cacheSeconds: 540 });
});

test('an answer that lacks one of several logins is remembered for a minute, not for the life of the others', async () => {
  const hours = { lifeMs: 12 * 3_600_000 };
  const whole = await ask(rules(), `${HOST}/app`, ['a', 'b'], hours);
  const partial = await ask(rules(), `${HOST}/app`, ['a', 'b'], { ...hours, refused: 'b' });
  const ending = await ask(rules(), `${HOST}/app`, ['a', 'b'], { lifeMs: 90_000, refused: 'b' });

  expect(whole.answer.cacheSeconds).toBe(12 * 3600 * 0.9);
  expect(Object.values(partial.answer.auth).map(({ password }) => password.reveal())).toEqual([role('a')]);
  expect(partial.answer.cacheSeconds).toBe(60);
  expect(ending.answer.cacheSeconds).toBe(30);
});

test('a rule that is more exact answers, unless only labels of the namespace could tell whether it is meant', async () => {
  const exact = (subjects: string) =>
    rules(`  - name: exact
    hosts: ['${HOST}']
    audience: exact.team.example
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation } }
${subjects}`);

  const { answer, asked } = await ask(exact(''), `${HOST}/app`, ['a']);
  expect([answer.auth, asked]).toEqual([{}, []]);
  const labelled = '    subjects: [{ namespaceSelector: { matchLabels: { tier: prod } } }]\n';
  expect((await ask(exact(labelled), `${HOST}/app`, ['a'])).asked).toEqual(['team-a/builder cloud']);
});
