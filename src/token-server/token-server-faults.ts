// What is wrong with a token server's config although each of its fields is right: faults of two fields together.
import * as z from 'zod';
import type { Fault } from '../config.ts';
import { audienceFault } from './trusted-issuer.ts';

type Raw = Readonly<Record<string, unknown>>;

const RawConfig = z
  .object({
    issuers: z.array(z.looseObject({}).catch({})).catch([]),
    access: z.array(z.looseObject({}).catch({})).catch([]),
  })
  .catch({ issuers: [], access: [] });

/** Fields that mean nothing with the other `check`: written there, somebody believes in them. */
const FIELDS_OF = {
  keys: ['discoveryUrl', 'keysHosts', 'certificateAuthorityFile', 'bearerFile'],
  tokenReview: ['tokenReview'],
};

/** Looks at the raw data, so that no other fault hides these. */
export function tokenServerFaults(raw: unknown): Fault[] {
  const { issuers, access } = RawConfig.parse(raw);
  return [
    ...issuers.flatMap((trusted, at) => issuerFaults(trusted, at, issuers.slice(0, at))),
    ...access.flatMap((rule, at) => ruleFaults(rule, at, issuers)),
  ];
}

function issuerFaults(trusted: Raw, at: number, before: readonly Raw[]): Fault[] {
  const { issuer, audience, check } = trusted;
  const faults: Fault[] = [];
  const add = (field: string, message: string | undefined) => {
    if (message !== undefined) faults.push({ path: ['issuers', at, field], message });
  };
  if (typeof issuer === 'string' && before.some((other) => other['issuer'] === issuer)) {
    add(
      'issuer',
      'this issuer stands above already; two clusters that call themselves the same cannot be told apart, so give one another --service-account-issuer',
    );
  }
  add('audience', audienceFault(issuer, audience));
  const [mine, others] =
    check === 'tokenReview' ? (['tokenReview', 'keys'] as const) : (['keys', 'tokenReview'] as const);
  for (const field of FIELDS_OF[others].filter((name) => name in trusted)) {
    add(field, `means nothing with check: ${mine}${mine === 'tokenReview' ? ', see tokenReview' : ''}`);
  }
  const isHere = (one: Raw) => one['check'] === 'tokenReview' && !('tokenReview' in one);
  if (isHere(trusted) && before.some(isHere))
    add('check', 'two issuers cannot both be the cluster this runs in: say with tokenReview where to ask');
  return faults;
}

function ruleFaults({ issuer }: Raw, at: number, issuers: readonly Raw[]): Fault[] {
  const path = ['access', at, 'issuer'];
  if (issuer === undefined && issuers.length > 1) {
    const message = 'is required where there are several issuers: each may have a namespace of that name';
    return [{ path, message }];
  }
  if (typeof issuer !== 'string' || issuers.some((trusted) => trusted['issuer'] === issuer)) return [];
  return [{ path, message: 'no entry of issuers has this issuer' }];
}
