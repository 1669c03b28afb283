// Looks for passwords where none may stand: plain, and in base64 wherever it begins.
import { Buffer } from 'node:buffer';

/** What would be seen of a secret text if it had leaked: itself, and the middle of its three base64 forms. */
export function tracesOf(secret: string): string[] {
  const encoded = [0, 1, 2].map((shift) => {
    const text = Buffer.from(`${'x'.repeat(shift)}${secret}`).toString('base64');
    // The first and the last group of four also depend on what stands before and behind.
    return text.slice(4, -4);
  });
  return [secret, ...encoded];
}

/** The names of the texts that show a trace of one of the secrets. */
export function findLeaks(texts: Readonly<Record<string, string>>, secrets: readonly string[]): string[] {
  const traces = secrets.flatMap(tracesOf);
  return Object.entries(texts)
    .filter(([, text]) => traces.some((trace) => text.includes(trace)))
    .map(([name]) => name);
}

/** The part of a ServiceAccount token (JWS compact form) that nobody could guess and that no claim repeats. */
export function signatureOf(token: string): string {
  const [, , signature = ''] = token.split('.');
  if (signature.length < 40)
    throw new Error('a ServiceAccount token has three parts, the last of them a signature');
  return signature;
}
