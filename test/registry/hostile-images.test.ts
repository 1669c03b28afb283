// The registry that an image names becomes part of a URL: only where a rule speaks of it, and only as its family spells it.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { planPulls } from '../../src/core/pull-plan.ts';
import { aPod, anAccount } from '../core/builders.ts';
import { ruleFrom } from '../fakes/builders.ts';
import { requestsOf, ruleOf, stages, type FamilyStage } from './family-stages.ts';
import { EVIL } from './hostile-texts.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';

/** As wide as a config may be: every host of the clouds, and one host of each other family. */
const wide: Record<string, Record<string, unknown>> = {
  ecr: { hosts: ['*.dkr.ecr.*.amazonaws.com', '*.dkr-ecr.*.on.aws'], registries: ['111122223333'] },
  google: { hosts: ['*.pkg.dev', '*.gcr.io', 'gcr.io'] },
  acr: { hosts: ['*.azurecr.io', '*.azurecr.cn'], registries: ['shopregistry'] },
  chainguard: { hosts: ['*.cgr.dev', 'cgr.dev'], registries: ['shop'] },
  alibaba: { hosts: ['*.*.cr.aliyuncs.com'], registries: ['shop'] },
  'token-realm': { hosts: ['realm.team.example', 'realm.team.example:5000'] },
  quay: { hosts: ['quay.team.example'] },
  jfrog: { hosts: ['shop.jfrog.example'] },
};

const rules = Object.entries(wide).map(([kind, change]): RegistryRule => {
  const { good, ...stage } = stages[kind] as FamilyStage;
  const { family: _known, ...usual } = ruleOf(kind, { ...stage, good });
  const parameters = Object.fromEntries(
    Object.entries(good).map(([key, value]) => [key, { from: 'rule', value }]),
  );
  return ruleFrom({ ...usual, name: kind, ...change, parameters });
});

/** All hosts that requests of these rules may go to, whatever images say. */
const ALLOWED =
  /^(?:(?:sts|api\.ecr)(?:-fips)?\.[a-z]{2,4}(?:-[a-z]+){1,2}-\d{1,2}\.amazonaws\.com|(?:sts|iamcredentials)\.googleapis\.com|login\.(?:microsoftonline\.com|chinacloudapi\.cn)|shopregistry\.azurecr\.(?:io|cn)|issuer\.enforce\.dev|(?:sts|cr)\.[a-z]{2}(?:-[a-z0-9]+){1,3}\.aliyuncs\.com|realm\.team\.example(?::5000)?|quay\.team\.example|shop\.jfrog\.example)$/;

async function hostsAskedFor(image: string): Promise<string[]> {
  const { needs } = planPulls(aPod([image]), anAccount(), {}, { rules, needsPerPod: 8 });
  const requests = await Promise.all(needs.map(requestsOf));
  return requests.flat().map(({ url }) => {
    expect([url.protocol, url.username, url.password]).toEqual(['https:', '', '']);
    return url.host;
  });
}

const good = [
  '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
  '111122223333.dkr-ecr.eu-west-1.on.aws',
  'europe-west1-docker.pkg.dev',
  'eu.gcr.io',
  'shopregistry.azurecr.io',
  'cgr.dev',
  'shop.cgr.dev',
  'shop-registry-vpc.eu-central-1.cr.aliyuncs.com',
  'realm.team.example:5000',
  'quay.team.example',
  'shop.jfrog.example',
];

test.for(good.filter((host) => host !== 'cgr.dev'))(
  'an image at %s is asked for where its family is',
  async (host) => {
    const asked = await hostsAskedFor(`${host}/app:1`);

    expect(asked.length).toBeGreaterThan(0);
    expect(asked.filter((name) => !ALLOWED.test(name))).toEqual([]);
  },
);

test.for(
  good
    .flatMap((host) => [
      `${host}.${EVIL}`,
      `${EVIL}.${host}`,
      `${EVIL}/${host}`,
      `${EVIL}:443/${host}`,
      `${host}:8443`,
      `${host}@${EVIL}`,
      `user:pass@${host}`,
      `${EVIL}#${host}`,
      `${EVIL}?${host}`,
      `${EVIL}\\${host}`,
      `${host}%2f${EVIL}`,
      `${host}\n${EVIL}`,
      `${host}.`,
      `.${host}`,
      `-${host}`,
      `https://${host}`,
      `//${host}`,
      host.replace('.', '..'),
      host.replace('.', '-'),
      host.replace('.', `.${EVIL}.`),
      host.replace(/^[a-z0-9-]+/, ''),
      host.replace(/^[a-z0-9-]+/, '*'),
      host.replace(/^[a-z0-9-]+/, 'stranger'),
      host.replace(/\.(?:eu-west-1|eu-central-1)\./, `.${EVIL}.`),
      host.replace(/\.(?:eu-west-1|eu-central-1)\./, '.evil.'),
      host.replace(/\.(?:eu-west-1|eu-central-1)\./, '.{region}.'),
      host.replace(/[aeo]/, 'е'),
      `[::1]:${host}`,
    ])
    .filter((host) => !good.includes(host)),
)('an image at %j leads to no request', async (host) => {
  expect(await hostsAskedFor(`${host}/app:1`)).toEqual([]);
});

test('whatever host an image names, requests go to the services of a rule and to nobody else', async () => {
  const label = fc.oneof(
    fc.constantFrom(
      '111122223333',
      'shopregistry',
      'shop',
      'shop-registry',
      'eu-docker',
      'eu-west-1',
      'evil',
    ),
    fc.stringMatching(/^[a-zA-Z0-9._:@%#?\\*{}-]{0,12}$/),
    fc.string({ unit: 'binary', maxLength: 6 }),
  );
  const shape = fc.constantFrom<(one: string, two: string) => string>(
    (one, two) => `${one}.dkr.ecr.${two}.amazonaws.com`,
    (one, two) => `${one}.dkr-ecr.${two}.on.aws`,
    (one, two) => `${one}${two}.pkg.dev`,
    (one, two) => `${one}.gcr.io${two}`,
    (one, two) => `${one}${two}.azurecr.io`,
    (one, two) => `${one}.azurecr.cn${two}`,
    (one, two) => `${one}${two}.cgr.dev`,
    (one, two) => `${one}.${two}.cr.aliyuncs.com`,
    (one, two) => `${one}realm.team.example${two}`,
    (one, two) => `${one}quay.team.example${two}`,
  );
  await fc.assert(
    fc.asyncProperty(shape, label, label, async (make, one, two) => {
      const asked = await hostsAskedFor(`${make(one, two)}/app:1`);

      expect(asked.filter((name) => !ALLOWED.test(name))).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});
