// One question to a cluster's API server: is this token good for this audience? No memory; that is review-check.ts.
import { Agent } from 'undici';
import * as z from 'zod';
import type { Clock } from '../clock.ts';
import { SecretText } from '../secret-text.ts';
import { readAuthorities, readText } from '../text-file.ts';
import type { KeySource } from './fetch-key-set.ts';
import type { Fetch } from './json-call.ts';
import { CALL_DEADLINE_MS, callJson, parseAnswer } from './json-call.ts';
import type { Reviewer, TrustedIssuer } from './trusted-issuer.ts';

const Review = z.object({
  kind: z.literal('TokenReview'),
  status: z.object({
    authenticated: z.boolean().default(false),
    user: z.object({ username: z.string().default(''), uid: z.string().default('') }).prefault({}),
    audiences: z.array(z.string()).nullish(),
  }),
});

/** `status` of authentication.k8s.io/v1 TokenReview; what is absent there is false or empty here. */
export type ReviewStatus = z.output<typeof Review>['status'];

export interface TokenReviewer {
  /** @throws Problem `file-unreadable`, `exchange-unreachable`, `exchange-refused` or `exchange-malformed` */
  ask(token: SecretText): Promise<ReviewStatus>;
}

/** Where every pod finds its own cluster (kubernetes.io, "Accessing the Kubernetes API from a Pod"). */
const POD_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';
const OWN_CLUSTER: Reviewer = {
  server: 'https://kubernetes.default.svc',
  certificateAuthorityFile: `${POD_FOLDER}/ca.crt`,
  bearerFile: `${POD_FOLDER}/token`,
};

/** Reviews at once per issuer; one takes a few milliseconds, so this is thousands per second. */
const MOST_CONNECTIONS = 16;

const CURE = 'bearerFile must hold a valid token of an account that may create tokenreviews';

export function createTokenReviewer(
  { audience, tokenReview = OWN_CLUSTER }: TrustedIssuer,
  { clock, fetch }: { clock: Clock; fetch?: Fetch | undefined },
): TokenReviewer {
  const { server, certificateAuthorityFile, bearerFile } = tokenReview;
  const url = below(server, '/apis/authentication.k8s.io/v1/tokenreviews');
  let knownCa: string | undefined;
  let agent: Agent | undefined;

  /** One agent for as long as the CA is the same: a connection is then worth many reviews. */
  function agentForNow(): Agent {
    const ca = certificateAuthorityFile === undefined ? undefined : readAuthorities(certificateAuthorityFile);
    if (agent && ca === knownCa) return agent;
    void agent?.close();
    knownCa = ca;
    agent = new Agent({
      allowH2: false,
      connections: MOST_CONNECTIONS,
      connect: ca === undefined ? {} : { ca },
    });
    return agent;
  }

  return {
    async ask(token) {
      const call = {
        fetch,
        agent: agentForNow(),
        signal: clock.deadline(CALL_DEADLINE_MS),
        bearer: new SecretText(readText(bearerFile).trim()),
        accept: 'application/json',
        cure: CURE,
      };
      const answer = await callJson(call, url, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token: token.reveal(), audiences: [audience] },
      });
      return parseAnswer(Review, answer, 'TokenReview').status;
    },
  };
}

/** The same API server's keys, asked for without discovery, whose jwks_uri names hosts for outsiders. */
export function keysOfReviewer({ issuer, tokenReview = OWN_CLUSTER }: TrustedIssuer): KeySource {
  const { server, certificateAuthorityFile, bearerFile } = tokenReview;
  const keysUrl = below(server, '/openid/v1/jwks').href;
  return { issuer, keysUrl, keysHosts: [], certificateAuthorityFile, bearerFile };
}

/** A server may have a path of its own: an API server behind a proxy for many. */
function below(server: string, path: string): URL {
  return new URL(`${server.replace(/\/$/, '')}${path}`);
}
