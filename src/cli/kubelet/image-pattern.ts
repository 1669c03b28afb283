// How the kubelet matches the name of an image with `matchImages` and with the keys of an answer, ported from
// URLsMatch (kubernetes/kubernetes pkg/credentialprovider/keyring.go), and which patterns can never match.

/** True if the kubelet runs a provider with this pattern for an image name without tag and digest. */
export function patternMatches(pattern: string, image: string): boolean {
  const [wanted, asked] = [placeOf(pattern), placeOf(image)];
  if (wanted.port !== asked.port || !asked.path.startsWith(wanted.path)) return false;
  const [globs, labels] = [wanted.name.split('.'), asked.name.split('.')];
  return globs.length === labels.length && globs.every((glob, at) => labelMatches(glob, labels[at] ?? ''));
}

/** The end of a sentence; undefined for a pattern that some image has. The kubelet itself takes them all without a word. */
export function whyNeverMatches(pattern: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(pattern)) return 'an image name has no scheme, https:// included';
  const { port, path } = placeOf(pattern);
  if (/[*[\]]/.test(path))
    return 'a path is compared letter by letter, "*" included; leave the path out, or end it with "/"';
  if (port.includes('*')) return 'a port is compared letter by letter: one entry for each port';
  if (/@|:[^/:]*$/.test(path)) return 'the name that is matched has no tag and no digest';
  if (/[A-Z]/.test(path)) return 'repository names are lower case';
  return undefined;
}

/** What matches more, less or other than whoever wrote it may have meant. */
export function whySurprising(pattern: string): string | undefined {
  if (/[?#]/.test(pattern)) return '"?" or "#" and what follows it is not compared with anything';
  const { name, port, path } = placeOf(pattern);
  if (name.includes('**'))
    return '"**" stands for one label as "*" does; write one pattern for each number of labels ("*.*.example")';
  if (name === '*' && port === '')
    return '"*" stands for one label, and the only host of an image with one label and no port is localhost';
  if (path === '' || path.endsWith('/')) return undefined;
  return `it speaks of every name that begins so (${path.slice(1)}-other as well): end it with "/" to stop at the folder`;
}

/** What Go's url.Parse refuses of `https://` and a pattern, as far as somebody could write it. */
export function isParseable(pattern: string): boolean {
  const { name, port } = placeOf(pattern);
  if (/[\p{Cc} "<>\\^`{|}]/u.test(name) || /\p{Cc}/u.test(pattern)) return false;
  if (!/^\d*$/.test(port)) return false;
  return !/%(?![0-9a-f]{2})/i.test(pattern);
}

interface Place {
  readonly name: string;
  readonly port: string;
  readonly path: string;
}

function placeOf(text: string): Place {
  // It is read as a URL, of which query and fragment are then forgotten.
  const bare = text.replace(/[?#].*$/s, '');
  const slash = bare.indexOf('/');
  const host = slash === -1 ? bare : bare.slice(0, slash);
  const colon = host.lastIndexOf(':');
  const hasPort = colon > host.lastIndexOf(']');
  return {
    name: hasPort ? host.slice(0, colon) : host,
    port: hasPort ? host.slice(colon + 1) : '',
    path: slash === -1 ? '' : bare.slice(slash),
  };
}

/** Go's filepath.Match of one label: `*`, and everything else literal; a class in brackets is nobody's host. */
function labelMatches(glob: string, label: string): boolean {
  const parts = glob.split('*').map((part) => part.replaceAll(/[$()+.?[\\\]^{|}]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(label);
}
