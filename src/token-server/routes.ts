// The token server on the wire: GET and POST /auth/token, and /healthz. The path is what autoredirect of a registry uses.
import type { Express, NextFunction, Request, Response } from 'express';
import express from 'express';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { Problem, isProblem, type ProblemCode } from '../problem.ts';
import type { LoginOutcome, TokenServerMetrics } from '../server/token-server-metrics.ts';
import type { AccessRule } from './access-rules.ts';
import { grantAccess, withheldFrom } from './access-rules.ts';
import { answer, answerError } from './answer.ts';
import { errorAnswerFor } from './error-answer.ts';
import { createFailureBrake } from './failure-brake.ts';
import type { LoginRequest, NoLogin } from './login-request.ts';
import { LARGEST_FORM_BYTES, readForm, readGet } from './login-request.ts';
import { scopeText } from './registry-scope.ts';
import type { RegistryTokenSigner } from './registry-token.ts';
import type { TokenVerifier } from './verify-token.ts';

/** Where registries send their clients: `auth.token.realm` is this path on the token server's host. */
export const TOKEN_PATH = '/auth/token';

export interface TokenRoutesOptions {
  /** As in the registry's `auth.token`; also the realm of our Basic challenge. */
  readonly service: string;
  readonly anyUser: boolean;
  readonly access: readonly AccessRule[];
  readonly verifier: TokenVerifier;
  readonly sign: RegistryTokenSigner;
  /** Told of each login that was read, with its verdict, before a refused one is held back. */
  readonly onLogin: TokenServerMetrics['login'];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The express app. A login is 200 with what the rules allow, even if that is nothing; 401 only for a bad login; 400 for
 * a request that cannot be read; 503 with Retry-After while the issuer's keys are unknown. Users and passwords are
 * neither logged nor repeated.
 */
export function createTokenRoutes({
  service,
  anyUser,
  access,
  verifier,
  sign,
  onLogin,
  clock,
  log,
}: TokenRoutesOptions): Express {
  const brake = createFailureBrake(clock);
  const challenge = { 'www-authenticate': `Basic realm="${service}", charset="UTF-8"` };
  const app = express();
  app.set('x-powered-by', false).set('etag', false).set('query parser', 'simple');

  app.get('/healthz', (_request, response) => answer(response, 200, { status: 'ok' }));

  app.get(TOKEN_PATH, async (request, response) => {
    // Not request.query: the simple parser is the safe one, and this one keeps a repeated scope in order.
    const query = new URLSearchParams(request.url.split('?', 2)[1]);
    await serve(request, response, () => readGet(query, request.headers.authorization, service));
  });

  const readBody = express.raw({ type: () => true, limit: LARGEST_FORM_BYTES, inflate: false });
  app.post(TOKEN_PATH, readBody, async (request, response) => {
    const body: unknown = request.body;
    const form = Buffer.isBuffer(body) ? body.toString('utf8') : '';
    await serve(request, response, () => readForm(form, request.headers['content-type'], service));
  });

  app.use((_request, response) => {
    answerError(response, {
      status: 404,
      message: `there is only ${TOKEN_PATH} here`,
      oauthError: 'invalid_request',
    });
  });

  // Last of all, and with four parameters: that is how express knows it.
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
    if (!(status >= 400 && status < 500)) log.error({ error }, 'request failed');
    if (response.headersSent) return void response.destroy();
    // The rest of a body that was not read is still on its way.
    response.setHeader('connection', 'close');
    if (!(status >= 400 && status < 500)) return answerError(response, errorAnswerFor(error));
    answerError(response, { status, message: 'the request cannot be read', oauthError: 'invalid_request' });
  });

  async function serve(
    request: Request,
    response: Response,
    read: () => LoginRequest | NoLogin,
  ): Promise<void> {
    const startedAt = clock.monotonic();
    const source = request.socket.remoteAddress ?? '';
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const seconds = () => (clock.monotonic() - startedAt) / 1000;
    let login: LoginRequest | NoLogin | undefined;
    try {
      login = read();
      if (login.kind !== 'login') onLogin(undefined, login.kind, undefined, seconds());
      if (login.kind === 'malformed') {
        return answerError(response, { status: 400, message: login.message, oauthError: login.error });
      }
      if (login.kind === 'anonymous') {
        return answerError(
          response,
          { status: 401, message: login.message, oauthError: 'invalid_client' },
          challenge,
        );
      }
      const { body, fields } = await issue(login, gone.signal);
      onLogin(fields.issuer, 'issued', undefined, seconds());
      log.info({ ...fields, source, durationMs: Math.round(seconds() * 1000) }, 'registry token issued');
      answer(response, 200, body);
    } catch (error) {
      const issuer = login?.kind === 'login' ? verifier.issuerOf(login.password) : undefined;
      const code = isProblem(error) ? error.code : undefined;
      onLogin(issuer, outcomeOf(code, gone.signal), code, seconds());
      if (!isProblem(error)) throw error;
      await refuse(response, error, source, gone.signal);
    }
  }

  async function issue(
    login: LoginRequest,
    signal: AbortSignal,
  ): Promise<{ body: object; fields: { readonly issuer: string; readonly [field: string]: unknown } }> {
    const verified = await verifier.verify(login.password, signal);
    const { issuer, namespace, serviceAccount, uid, expiresAt } = verified;
    const subject = `${namespace}/${serviceAccount}`;
    if (!anyUser && login.user !== subject) {
      throw new Problem('login-refused', `the user must be ${subject}, to whom the token belongs`);
    }
    const granted = grantAccess(access, verified, login.asked);
    const { token, issuedAt, lifetimeSeconds } = await sign({
      subject,
      access: granted,
      loginExpiresAt: expiresAt,
    });
    const text = token.reveal();
    return {
      body: {
        token: text,
        access_token: text,
        expires_in: lifetimeSeconds,
        issued_at: new Date(issuedAt).toISOString(),
        scope: granted.map(scopeText).join(' '),
      },
      fields: {
        issuer,
        namespace,
        serviceAccount,
        ...(uid !== undefined && { uid }),
        granted: granted.map(scopeText),
        withheld: withheldFrom(login.asked, granted).map(scopeText),
      },
    };
  }

  async function refuse(
    response: Response,
    problem: Problem,
    source: string,
    signal: AbortSignal,
  ): Promise<void> {
    if (problem.code !== 'login-refused') {
      const level = problem.code === 'scope-malformed' || signal.aborted ? 'debug' : 'warn';
      log[level]({ error: problem, source }, 'no registry token issued');
      return answerError(response, errorAnswerFor(problem));
    }
    log.warn({ error: problem, source }, 'login refused');
    const held = await brake.hold(source, signal).catch(() => undefined);
    if (held === undefined) return; // the client is gone
    if (held) return answerError(response, errorAnswerFor(problem), challenge);
    const message = 'too many logins fail at the moment';
    answerError(response, {
      status: 429,
      message,
      oauthError: 'temporarily_unavailable',
      retryAfterMs: 5000,
    });
  }

  return app;
}

function outcomeOf(code: ProblemCode | undefined, gone: AbortSignal): LoginOutcome {
  if (code === 'login-refused') return 'refused';
  if (code === 'scope-malformed') return 'malformed';
  return gone.aborted ? 'gone' : 'failed';
}
