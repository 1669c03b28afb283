// One run of the plugin, without its process: words and stdin in, one answer on stdout or one line on stderr.
import { loadConfig } from '../config.ts';
import { Problem, isProblem } from '../problem.ts';
import { answerRequest, type AnswerTools } from './answer.ts';
import { answerText, LARGEST_REQUEST_BYTES, malformed, parseRequest } from './protocol.ts';

const PLUGIN_NAME = 'keyless-pull-credential-provider';

const USAGE = `${PLUGIN_NAME} --config FILE: run by the kubelet, with a CredentialProviderRequest on stdin`;

export interface PluginTools extends Pick<AnswerTools, 'clock' | 'exchange'> {
  /** Undefined where there is more than that many bytes. */
  readStdin(most: number): Promise<string | undefined>;
  out(text: string): void;
  err(text: string): void;
}

/** 0 answered, 1 refused, 2 could not do it, 64 wrong use. */
export type PluginExit = 0 | 1 | 2 | 64;

/** Never rejects: the kubelet logs what stands on stderr, whoever wrote it. */
export async function runPlugin(words: readonly string[], tools: PluginTools): Promise<PluginExit> {
  const tell = (error: unknown) => tools.err(`${PLUGIN_NAME}: ${sentenceOf(error)}\n`);
  try {
    const file = configFileOf(words);
    if (file === undefined) {
      tools.out(`${USAGE}\n`);
      return 0;
    }
    const config = loadConfig(file);
    const text = await tools.readStdin(LARGEST_REQUEST_BYTES);
    if (text === undefined) throw malformed(`it is longer than ${LARGEST_REQUEST_BYTES} bytes`);
    tools.out(answerText(await answerRequest(config, parseRequest(text), { ...tools, onRefusal: tell })));
    return 0;
  } catch (error) {
    tell(error);
    return exitFor(error);
  }
}

/** Undefined: help is asked for. @throws Problem usage */
export function configFileOf(words: readonly string[]): string | undefined {
  const [first, second, ...more] = words;
  if (first === '--help' || first === '-h') return undefined;
  if (first === '--config' && second !== undefined && more.length === 0) return second;
  if (first?.startsWith('--config=') && second === undefined) return first.slice('--config='.length);
  throw new Problem('usage', USAGE);
}

function exitFor(error: unknown): PluginExit {
  if (!isProblem(error)) return 2;
  if (error.code === 'usage') return 64;
  return ['config-invalid', 'file-unreadable', 'request-malformed'].includes(error.code) ? 2 : 1;
}

/** One line: a fault per line would be several entries of the kubelet's log. */
function sentenceOf(error: unknown): string {
  if (!isProblem(error)) return 'something went wrong here (unexpected)';
  const faults = (error.details.faults ?? []).map((fault) => `; ${fault}`).join('');
  return `${error.message}${faults} (${error.code})`.replaceAll(/\p{Cc}+/gu, ' ');
}
