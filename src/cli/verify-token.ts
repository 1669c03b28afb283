// keyless-pull verify-token: the token server's check as one program run, in the ext_auth protocol of docker_auth
// (https://github.com/cesanta/docker_auth): "user password" on stdin, the verdict as the exit code.
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { Problem, isProblem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import { loadTokenServerConfig } from '../token-server/token-server-config.ts';
import { TrustedIssuer, audienceFault } from '../token-server/trusted-issuer.ts';
import type { VerifiedToken } from '../token-server/verify-token.ts';
import { createTokenVerifier } from '../token-server/verify-token.ts';
import type { CommandIo } from './output.ts';

export interface VerifyTokenOptions {
  /** Path of a token server's config, whose `issuers` and `anyUser` are used; instead of the next four. */
  readonly config?: string;
  readonly issuer?: string;
  readonly audience?: string;
  readonly caFile?: string;
  readonly bearerFile?: string;
  readonly anyUser?: boolean;
}

/** docker_auth's ExtAuthStatus. `noSuchUser` lets it ask its next backend. */
const verdicts = { allow: 0, deny: 1, noSuchUser: 2, error: 3 } as const;
export type Verdict = (typeof verdicts)[keyof typeof verdicts];

const RIGHT_FORM = `write user and token to stdin: printf '%s %s' shop/web "$TOKEN" | keyless-pull verify-token …`;

/** Room for a user name and the longest token. */
const LONGEST_INPUT = 64 * 1024;

/**
 * On `allow` the only thing on stdout is `{"labels":{…}}`, each label a list of texts; else one line on stderr says why.
 * @throws Problem `usage` for wrong flags, and for words beside them: other users of the machine can read those
 */
export async function verifyToken(
  words: readonly string[],
  options: VerifyTokenOptions,
  io: CommandIo,
  clock: Clock = systemClock,
): Promise<Verdict> {
  if (words.length > 0) {
    throw new Problem(
      'usage',
      `verify-token takes no words beside its flags, and a token never: ${RIGHT_FORM}`,
    );
  }
  refuseWrongFlags(options);
  try {
    const { verdict, labels, reason } = await judge(options, io, clock);
    if (labels) io.out(`${JSON.stringify({ labels })}\n`);
    if (reason !== undefined) io.err(`verify-token: ${reason}\n`);
    return verdict;
  } catch (error) {
    // Not left to the program: its 2 for a failure means "no such user" here, and the next backend would be asked.
    io.err(`verify-token: ${sentenceOf(error)}\n`);
    return verdicts.error;
  }
}

interface Judgement {
  readonly verdict: Verdict;
  readonly labels?: Readonly<Record<string, readonly string[]>>;
  readonly reason?: string;
}

async function judge(options: VerifyTokenOptions, io: CommandIo, clock: Clock): Promise<Judgement> {
  const { issuers, anyUser } = trustOf(options);
  const { user, password } = readLogin(await io.readStdin());
  const verifier = createTokenVerifier({ issuers, clock });
  if (verifier.issuerOf(password) === undefined) {
    return {
      verdict: verdicts.noSuchUser,
      reason: 'the password is no ServiceAccount token of a trusted issuer',
    };
  }
  try {
    const verified = await verifier.verify(password, io.signal);
    const account = `${verified.namespace}/${verified.serviceAccount}`;
    if (anyUser || user === account) return { verdict: verdicts.allow, labels: labelsOf(verified) };
    return { verdict: verdicts.deny, reason: `the user must be ${account}, to whom the token belongs` };
  } catch (error) {
    if (!isProblem(error, 'login-refused')) throw error;
    return { verdict: verdicts.deny, reason: error.message };
  }
}

function refuseWrongFlags({ config, issuer, audience, caFile, bearerFile }: VerifyTokenOptions): void {
  const direct = [issuer, audience, caFile, bearerFile].some((flag) => flag !== undefined);
  if (config !== undefined && direct)
    throw new Problem('usage', 'pass --config or the flags of one issuer, not both');
  if (config !== undefined) return;
  if (issuer === undefined) throw new Problem('usage', 'pass --issuer and --audience, or --config');
  if (audience === undefined)
    throw new Problem(
      'usage',
      'pass --audience: a token that is meant for anybody else must not be accepted',
    );
}

/** @throws Problem, also `usage` for flags that hold no issuer and no audience */
function trustOf(options: VerifyTokenOptions): { issuers: readonly TrustedIssuer[]; anyUser: boolean } {
  const { config, issuer, audience, caFile, bearerFile, anyUser = false } = options;
  if (config !== undefined) {
    const loaded = loadTokenServerConfig(config);
    return { issuers: loaded.issuers, anyUser: anyUser || loaded.anyUser };
  }
  const parsed = TrustedIssuer.safeParse({ issuer, audience, certificateAuthorityFile: caFile, bearerFile });
  const fault = parsed.success
    ? audienceFault(issuer, audience)
    : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  if (parsed.success && fault === undefined) return { issuers: [parsed.data], anyUser };
  throw new Problem('config-invalid', `the flags cannot be used: ${fault}`);
}

/** The password is the rest: docker_auth joins the two with one space and ends with nothing. */
function readLogin(input: string): { user: string; password: SecretText } {
  const line = input.replace(/\r?\n$/, '');
  const space = line.indexOf(' ');
  if (space < 1 || line.length > LONGEST_INPUT)
    throw new Problem('usage', `there is no user and password on stdin: ${RIGHT_FORM}`);
  return { user: line.slice(0, space), password: new SecretText(line.slice(space + 1)) };
}

function labelsOf({ issuer, namespace, serviceAccount, claims }: VerifiedToken): Record<string, string[]> {
  const { sub = '', aud = [] } = claims;
  return {
    issuer: [issuer],
    namespace: [namespace],
    serviceAccount: [serviceAccount],
    sub: [sub],
    aud: [aud].flat(),
  };
}

/** One line, for docker_auth writes it into its log as it is. */
function sentenceOf(error: unknown): string {
  if (!isProblem(error)) return 'something went wrong here';
  const causes = isProblem(error.cause) ? [error.cause.message] : [];
  return [error.message, ...(error.details.faults ?? []), ...causes].join('; ');
}
