// What a registry asks for when it lets nobody in: the challenges of its WWW-Authenticate header, of which there may be
// several, in one line or in several that the transport has joined. RFC 9110 section 11.6.1.

/** By scheme, in lower case; of two of one scheme the first counts. */
export type Challenges = ReadonlyMap<string, Readonly<Record<string, string>>>;

/** A parameter with its value, in quotes or without; the name of a scheme; or what only parts them, or fits nowhere. */
const PIECE =
  /(?<name>[\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"(?<quoted>(?:[^"\\]|\\.)*)"|(?<plain>[\w!#$%&'*+.^`|~-]+))|(?<scheme>[\w!#$%&'*+.^`|~-]+)|[^\w!#$%&'*+.^`|~-]+/gy;

export function challengesOf(header: string): Challenges {
  const challenges = new Map<string, Record<string, string>>();
  let parameters: Record<string, string> = {};
  for (const { groups = {} } of header.matchAll(PIECE)) {
    const { name, quoted, plain, scheme } = groups;
    if (scheme !== undefined) {
      parameters = Object.create(null);
      const known = scheme.toLowerCase();
      if (!challenges.has(known)) challenges.set(known, parameters);
    } else if (name !== undefined) {
      parameters[name.toLowerCase()] ??= quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '';
    }
  }
  return challenges;
}
