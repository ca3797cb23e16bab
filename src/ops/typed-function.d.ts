declare module "typed-function" {
  /** One typed-function universe: its own types and conversions. */
  interface Typed {
    (name: string, signatures: Readonly<Record<string, (...args: unknown[]) => unknown>>): (...args: unknown[]) => never;
    create(): Typed;
    clear(): void;
    addTypes(types: readonly { readonly name: string; readonly test: (value: unknown) => boolean }[]): void;
  }
  const typed: Typed;
  export default typed;
}
