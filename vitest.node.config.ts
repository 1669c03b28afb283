// Real pods on a real kubelet, which takes Linux and root. Run by `npm run test:node`.
import { defineConfig } from 'vitest/config';
import { createReporter } from './test/reporter.ts';

export default defineConfig({
  test: {
    name: 'node',
    reporters: [createReporter()],
    include: ['test/e2e/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 10 * 60_000,
    hookTimeout: 5 * 60_000,
  },
});
