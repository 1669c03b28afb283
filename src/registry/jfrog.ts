// JFrog Artifactory: an OIDC integration with an identity mapping for this account. After jfrog/jfrog-client-go and
// https://jfrog.com/help/r/jfrog-rest-apis/exchange-token-oidc.
import * as z from 'zod';
import { jwtClaims } from './jwt-expiry.ts';
import { member } from './refusal.ts';
import { SecretAnswer } from './secret-answer.ts';
import type { RegistryFamily } from './registry-family.ts';

const NAME = { pattern: /^[A-Za-z0-9][\w .@*-]{0,254}$/, looksLike: 'a name as the platform shows it' };

export const jfrog: RegistryFamily = {
  parameters: {
    provider: { ...NAME, means: 'the name of the OIDC integration', isRequired: true },
    project: { ...NAME, means: 'the key of the project, where the mapping is in one' },
    'identity-mapping': { ...NAME, means: 'the name of the identity mapping, where several fit' },
    'token-audience': {
      means: 'the audience of the token that is issued, such as `*@*`',
      pattern: /^[\w*@.-]{1,255}$/,
      looksLike: 'an audience such as *@*',
    },
  },
  endpoints: ['platform'],
  receiver: 'host',
  tokenSeconds: 600,
  longestLife: 24 * 3600,
  async exchange({ token, need, parameters, url, ask }) {
    const { data, startedAt } = await ask({
      url: url('platform', `https://${need.host}`, '/access/api/v1/oidc/token'),
      json: {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        subject_token: token,
        provider_name: parameters['provider'],
        project_key: parameters['project'],
        identity_mapping_name: parameters['identity-mapping'],
        audience: parameters['token-audience'],
      },
      answer: z.object({
        access_token: SecretAnswer,
        expires_in: z.number().positive().optional(),
        username: z.string().optional(),
      }),
      refusal: {
        codeOf: (body) => member(body, 'errors', 0, 'code'),
        cures: {
          NOT_FOUND: `the platform has no OIDC integration called ${parameters['provider'] ?? ''}`,
          UNAUTHORIZED: "the integration must have this cluster's issuer, and its platform must reach that",
          FORBIDDEN: 'no identity mapping of the integration fits the claims of this account',
        },
      },
    });
    return {
      username: data.username ?? subjectOf(jwtClaims(data.access_token)['sub']),
      password: data.access_token,
      expiresAt: data.expires_in === undefined ? [] : [startedAt + data.expires_in * 1000],
    };
  },
};

/** `jfac@…/users/alice` is alice; other subjects end with their name. An empty name is refused by the engine. */
function subjectOf(subject: unknown): string {
  const text = typeof subject === 'string' ? subject : '';
  return text.split('/users/')[1] ?? text.split('/').at(-1) ?? '';
}
