// Quay.io and Red Hat Quay 3.13 and later: a robot account that trusts this ServiceAccount (robot federation). After
// quay/quay endpoints/oauth/robot_identity_federation.py, which wants Basic where its documentation says Bearer.
import * as z from 'zod';
import { SecretAnswer } from './secret-answer.ts';
import { member } from './refusal.ts';
import { path, type RegistryFamily } from './registry-family.ts';

export const quay: RegistryFamily = {
  parameters: {
    robot: {
      means: 'the robot account, `organization+name`',
      pattern: /^[a-z0-9][a-z0-9_.-]{0,254}\+[a-z][a-z0-9_-]{1,254}$/,
      looksLike: 'organization+name',
      isRequired: true,
      isPrincipal: true,
      foreign: ['quay.io/federated-robot-account'],
    },
  },
  endpoints: ['quay'],
  receiver: 'host',
  tokenSeconds: 600,
  longestLife: 24 * 3600,
  async exchange({ token, need, parameters, url, ask }) {
    const { robot = '' } = parameters;
    const { data } = await ask({
      url: url('quay', `https://${need.host}`, path`/oauth2/federation/robot/token`),
      basic: { username: robot, password: token },
      answer: z.object({ token: SecretAnswer }),
      refusal: {
        codeOf: (body) => member(body, 'error_type') || member(body, 'error'),
        // The messages are sentences; the status is all there is to go by, and 400 is all of: robot, issuer, subject, time.
        classes: {},
        cures: {
          '': `robot ${robot} must have a federation with this cluster's issuer and the subject of this account; Quay takes tokens signed RS256 or RS384 only`,
        },
      },
    });
    return { username: robot, password: data.token, expiresAt: [] };
  },
};
