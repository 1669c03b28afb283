// What takes minutes: bursts of a thousand pods, a worker killed in the middle. Run by `npm run test:long`.
import { defineConfig } from 'vitest/config';
import { createReporter } from './test/reporter.ts';

export default defineConfig({
  test: {
    name: 'long',
    reporters: [createReporter()],
    include: ['test/long/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 20 * 60_000,
    hookTimeout: 20 * 60_000,
  },
});
