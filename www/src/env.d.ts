/** The package's version; vite.config.ts defines it. */
declare const __VERSION__: string;
