// Which Node runs us, asked before anything else is loaded: an older one dies of what it lacks, with a stack trace.

/** As `engines` of package.json says it. */
const NEEDED = [24, 12] as const;

/** Why this Node cannot run us, in a sentence; undefined when it can. */
export function whyNodeIsTooOld(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return undefined;
  return `keyless-pull needs Node ${NEEDED.join('.')} or later, and this is Node ${version}: install one from https://nodejs.org`;
}

/** Runs the program, or says why this Node cannot and ends with 2. The program is to be loaded in there, not before. */
export async function onRecentNode(program: () => Promise<void>): Promise<void> {
  const reason = whyNodeIsTooOld(process.versions.node);
  if (reason === undefined) return program();
  process.stderr.write(`${reason}\n`);
  process.exitCode = 2;
}
