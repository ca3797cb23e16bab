import { defineConfig } from "vitest/config";

// Tests that open the GPU: in test/gpu, or named *gpu.test.ts. All others must pass on a machine without any.
const ON_GPU = ["test/gpu/**/*.test.ts", "test/**/*gpu.test.ts"];

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: "cpu", include: ["test/**/*.test.ts"], exclude: ON_GPU },
      },
      {
        extends: true,
        test: {
          name: "gpu",
          include: ON_GPU,
          globalSetup: ["test/driver.ts"],
          env: { POLARGRAD_GUARD: "1", POLARGRAD_VALIDATE: "1" },
          testTimeout: 60_000,
        },
      },
    ],
  },
});
