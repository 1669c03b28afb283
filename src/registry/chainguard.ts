// Chainguard's cgr.dev: an assumable identity that trusts this ServiceAccount. After chainguard-dev/sdk sts/.
import * as z from 'zod';
import { partsBy } from '../core/registry-family.ts';
import { member } from './refusal.ts';
import { InstantAnswer, SecretAnswer } from './secret-answer.ts';
import type { RegistryFamily } from './registry-family.ts';

export const chainguard: RegistryFamily = {
  hosts: {
    patterns: ['cgr.dev', '*.cgr.dev'],
    partsOf: partsBy(/^(?:(?<registry>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.)?cgr\.dev$/),
    registries: 'names before cgr.dev',
  },
  parameters: {
    identity: {
      means: "the assumable identity's id (UIDP)",
      pattern: /^[0-9a-f]{40}(?:\/[0-9a-f]{16}){1,8}$/,
      looksLike: '40 hexadecimal digits, then 16 after each "/"',
      isRequired: true,
      isPrincipal: true,
    },
  },
  endpoints: ['sts'],
  receiver: 'chainguard',
  tokenSeconds: 600,
  longestLife: 24 * 3600,
  async exchange({ token, parameters, url, ask }) {
    const { data } = await ask({
      url: url('sts', 'https://issuer.enforce.dev', '/sts/exchange'),
      bearer: token,
      form: { aud: 'cgr.dev', identity: parameters['identity'] },
      answer: z.object({ token: SecretAnswer, expiry: InstantAnswer.optional() }),
      refusal: {
        codeOf: (body) => member(body, 'code'),
        cures: {
          16: "the identity must name this cluster's issuer and the subject of this account",
          7: "the identity must name this cluster's issuer and the subject of this account, and have the role registry.pull",
        },
      },
    });
    return {
      username: '_token',
      password: data.token,
      expiresAt: data.expiry === undefined ? [] : [data.expiry],
    };
  },
};
