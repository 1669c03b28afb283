// What this project promises of its patches: what keyless-pull test holds them to.
export { applyStrictly } from '../../src/cli/cases/strict-patch.ts';
