// What our plugin would answer: up to the exchange without asking anybody, or the whole way with a token.
import { isProblem } from '../../../problem.ts';
import { SecretText } from '../../../secret-text.ts';
import { answerRequest, lookUp } from '../../../plugin/answer.ts';
import { configFileOf } from '../../../plugin/run-plugin.ts';
import { loadConfig } from '../../../config.ts';
import { LINK_PREFIX } from '../../kubelet/own-providers.ts';
import { failed, ok, skipped, warning, type Finding } from '../step.ts';
import { passedAnnotations } from './provider-steps.ts';
import type { Clock } from '../../../clock.ts';
import type { PluginRequest } from '../../../plugin/protocol.ts';
import type { Exchange } from '../../../registry/exchange.ts';
import type { Provider } from '../../kubelet/provider-config.ts';
import type { NodeFacts } from './step.ts';

export interface AnswerWish {
  /** The rules; absent: those that the provider's own flags name. */
  readonly config?: string;
  readonly token?: SecretText;
}

/** @throws Problem file-unreadable or config-invalid */
export async function judgeAnswer(
  provider: Provider,
  { image, account }: NodeFacts,
  wish: AnswerWish,
  tools: { readonly exchange: Exchange; readonly clock: Clock },
): Promise<Finding> {
  const { tokenAttributes, args } = provider;
  if (!provider.name.startsWith(LINK_PREFIX)) return skipped(`${provider.name} is not keyless-pull's`);
  if (!tokenAttributes || !account || image === undefined)
    return skipped('it takes an image and an account to say what it would answer');
  const request: PluginRequest = {
    image,
    token: wish.token ?? standIn(account, tokenAttributes.serviceAccountTokenAudience, tools.clock.now()),
    annotations: passedAnnotations(tokenAttributes, account.annotations),
  };
  const file = wish.config ?? rulesNamedIn(args ?? []);
  if (file === undefined)
    return failed(
      `${provider.name} ends at once: the args of its entry are not --config FILE`,
      'write the kubelet config anew: keyless-pull generate kubelet-config',
    );
  const config = loadConfig(file);
  try {
    const found = lookUp(config, request, tools.clock.now());
    if (found.kind === 'nothing') return warning(`nothing: ${found.why}`);
    const { rule, calls } = found;
    const whom = calls.map(({ planned }) => planned.need.principal).filter((name) => name !== '');
    const how = `rule ${rule.name} (${rule.exchange.kind})${whom.length > 0 ? ` as ${whom.join(', ')}` : ''}`;
    if (!wish.token) return ok(`${how}; not exchanged, which takes --token`);
    const { auth, cacheKeyType, cacheSeconds } = await answerRequest(config, request, tools);
    const keys = Object.entries(auth).map(([key, { username }]) => `${key} as ${username}`);
    return ok(`${how}: ${keys.join(', ')}, remembered for ${cacheSeconds} s by ${cacheKeyType}`);
  } catch (error) {
    if (!isProblem(error)) throw error;
    return failed(`${error.message} (${error.code})`);
  }
}

function rulesNamedIn(args: readonly string[]): string | undefined {
  try {
    return configFileOf(args);
  } catch (error) {
    if (!isProblem(error, 'usage')) throw error;
    return undefined;
  }
}

/** Good for looking up and for nothing else: it is signed by nobody. */
function standIn(
  { namespace, name, uid }: NonNullable<NodeFacts['account']>,
  audience: string,
  now: number,
): SecretText {
  const seconds = Math.floor(now / 1000);
  const claims = {
    aud: [audience],
    iat: seconds,
    exp: seconds + 3600,
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': { namespace, serviceaccount: { name, uid: uid || 'unknown' } },
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return new SecretText(`${part({ alg: 'none' })}.${part(claims)}.`);
}
