// An API server that answers TokenReviews as kube-apiserver does: it verifies the token for real, knows what was
// deleted, and refuses every request that is not exactly right.
import type { HandClock } from '../fakes/hand-clock.ts';
import type { FakeIssuer } from '../fakes/fake-issuer.ts';
import type { Answer, Received, StrictServer } from '../fakes/strict-server.ts';
import { createStrictServer } from '../fakes/strict-server.ts';
import { TokenRefused, judgeToken } from '../fakes/token-judge.ts';

export interface TokenReviewDouble extends AsyncDisposable {
  readonly server: StrictServer;
  /** What every request must show. */
  bearer: string;
  /** Whether the account of that bearer may read the keys. */
  keysAreOpen: boolean;
  /** Tokens whose Secret or pod was deleted. */
  readonly deleted: Set<string>;
  /** Merged over the status of a token that is good. */
  status: Record<string, unknown>;
  /** How many tokens were asked about. */
  readonly reviews: () => number;
}

const REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';

const failure = (code: number, reason: string): Answer => ({
  status: code,
  body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code },
});

export async function createTokenReviewDouble({
  issuer,
  clock,
}: {
  issuer: FakeIssuer;
  clock: HandClock;
}): Promise<TokenReviewDouble> {
  const answer = async (request: Received): Promise<Answer> => {
    if (request.headers.authorization !== `Bearer ${double.bearer}`) return failure(401, 'Unauthorized');
    if (request.method === 'GET' && request.path === '/openid/v1/jwks') {
      return double.keysAreOpen
        ? { headers: { 'content-type': 'application/jwk-set+json' }, body: { keys: issuer.publishedKeys } }
        : failure(403, 'Forbidden');
    }
    if (request.method !== 'POST' || request.path !== REVIEWS) return failure(404, 'NotFound');
    if (request.headers['content-type'] !== 'application/json') return failure(415, 'UnsupportedMediaType');
    const { apiVersion, kind, spec } = JSON.parse(request.body) as Record<string, unknown>;
    if (apiVersion !== 'authentication.k8s.io/v1' || kind !== 'TokenReview')
      return failure(400, 'BadRequest');
    const { token, audiences, ...more } = spec as { token: string; audiences: string[] };
    if (Object.keys(more).length > 0) return failure(400, 'BadRequest');
    return {
      status: 201,
      body: { apiVersion, kind, metadata: {}, spec, status: await judge(token, audiences) },
    };
  };

  async function judge(token: string, audiences: string[]): Promise<Record<string, unknown>> {
    try {
      const [audience = ''] = audiences;
      const subjects = ['system:serviceaccount:team-a:builder'];
      const claims = await judgeToken(token, { issuer, audience, subjects, clock });
      if (double.deleted.has(token)) throw new TokenRefused('claims');
      const { serviceaccount } = claims['kubernetes.io'] as { serviceaccount: { uid: string } };
      const groups = ['system:serviceaccounts', 'system:authenticated'];
      const user = { username: claims.sub, uid: serviceaccount.uid, groups };
      return { authenticated: true, user, audiences: [audience], ...double.status };
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      // What kube-apiserver says; our code must not need it.
      return { user: {}, error: '[invalid bearer token, service account token has been invalidated]' };
    }
  }

  const server = await createStrictServer({ clock, answer });
  const double: TokenReviewDouble = {
    server,
    bearer: 'reviewer',
    keysAreOpen: true,
    deleted: new Set(),
    status: {},
    reviews: () => server.requests.filter(({ path }) => path === REVIEWS).length,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  return double;
}
