// Properties draw the same values in every run, so that only a change breaks one. PROPERTY_SEED has them draw others.
import { configureGlobal } from 'fast-check';

const asked = process.env['PROPERTY_SEED'] ?? '1';
if (!/^-?\d{1,10}$/.test(asked)) throw new Error(`PROPERTY_SEED is a whole number, not "${asked}"`);

configureGlobal({ seed: Number(asked) });
