// Two projects: `unit` needs nothing but Node; `cluster` starts real parts (tools/), one file after the other.
import { defineConfig } from 'vitest/config';
import { createReporter } from './test/reporter.ts';

export default defineConfig({
  test: {
    reporters: [createReporter()],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/cluster/**', 'test/tools/**', 'test/e2e/**', 'test/long/**'],
          // Half of a core's time is spent waiting; a machine with two has one worker else.
          maxWorkers: '100%',
          setupFiles: ['test/property-seed.ts'],
          // The slowest check takes seconds. This ends what hangs, also on a machine that does ten things at once.
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // Loading zod and its like for each of 150 files took a third of the time; nothing here keeps state in a module.
          isolate: false,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'cluster',
          include: ['test/cluster/**/*.test.ts', 'test/tools/**/*.test.ts'],
          fileParallelism: false,
          // Longer than a check waits for one thing after the other.
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
