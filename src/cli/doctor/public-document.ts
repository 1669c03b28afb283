// What everybody sees: a JSON document at an https address, asked for without credentials.
import { Problem } from '../../problem.ts';
import type { DoctorTools } from './step.ts';

export type Seen =
  | { readonly kind: 'document'; readonly document: unknown }
  /** 401 or 403. */
  | { readonly kind: 'refused'; readonly status: number }
  /** `why` ends a sentence that begins with the address. */
  | { readonly kind: 'unreachable'; readonly why: string };

const CALL_MS = 10_000;
/** kube-apiserver answers 406 for its keys to who accepts application/json only. */
const ACCEPT = 'application/json, application/jwk-set+json';

export async function seePublicly(
  url: URL,
  { http, clock, signal, issuerAuthority }: DoctorTools,
): Promise<Seen> {
  try {
    const answer = await http({
      url,
      method: 'GET',
      headers: { accept: ACCEPT },
      body: '',
      certificateAuthority: issuerAuthority,
      signal: clock.deadline(CALL_MS, signal),
    });
    const { status } = answer;
    if (status === 401 || status === 403) return { kind: 'refused', status };
    if (status !== 200) return { kind: 'unreachable', why: `answers ${status}, wanted is 200` };
    return { kind: 'document', document: JSON.parse(answer.text) };
  } catch (error) {
    if (signal.aborted) throw new Problem('deadline', 'the check was stopped', { cause: error });
    return { kind: 'unreachable', why: reasonOf(error) };
  }
}

const CERTIFICATE_CODE = /CERT|SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)/;

function reasonOf(error: unknown): string {
  if (error instanceof SyntaxError) return 'answers with something that is no JSON';
  if (error instanceof Error && /^(?:Abort|Timeout)Error$/.test(error.name))
    return `gives no answer in ${CALL_MS / 1000} s`;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const shown = /^[A-Z0-9_]+$/.test(code) ? code : 'the connection broke';
  return CERTIFICATE_CODE.test(shown)
    ? `has a certificate that is not accepted here (${shown}; --issuer-ca names its authority)`
    : `cannot be reached from here (${shown})`;
}

/** An https URL of visible ASCII: foreign text that may be shown and asked for. */
export function isAddress(text: string): boolean {
  return /^https:\/\/[\x21-\x7E]{1,1000}$/.test(text) && URL.canParse(text);
}

/** True for names that lead nowhere from the internet: addresses, names without a dot, and the suffixes of local networks. */
export function looksPrivate(host: string): boolean {
  const name = host.replace(/:\d+$/, '').toLowerCase();
  if (/^[\d.]+$/.test(name) || name.startsWith('[')) return true;
  return !name.includes('.') || /\.(?:svc|local|localhost|internal|intranet|lan|home\.arpa)$/.test(name);
}
