import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import java.nio.file.Path;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.transaction.annotation.EnableTransactionManagement;

/**
 * HAPI FHIR's R4 JPA server over H2, on 127.0.0.1: `Peer PORT FOLDER`, port 0 for any; prints `ready PORT`. It only puts
 * HAPI's own parts together, with HAPI's own defaults: nothing of what it answers is decided here.
 */
@Configuration
@EnableTransactionManagement
@Import({
  JpaR4Config.class, HapiJpaConfig.class, JpaBatch2Config.class, Batch2JobsConfig.class, ThreadPoolFactoryConfig.class,
  SubscriptionSubmitterConfig.class, SubscriptionChannelConfig.class
})
public class Peer {
  private static String folder;

  public static void main(String[] args) throws Exception {
    folder = Path.of(args[1]).toAbsolutePath().toString();
    var context = new AnnotationConfigApplicationContext(Peer.class);
    var server = new Server();
    var connector = new ServerConnector(server);
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(args[0]));
    server.addConnector(connector);
    var handler = new ServletContextHandler();
    handler.addServlet(new ServletHolder(context.getBean(RestfulServer.class)), "/fhir/*");
    server.setHandler(handler);
    server.start();
    System.out.println("ready " + connector.getLocalPort());
  }

  @Bean
  RestfulServer restfulServer(
      FhirContext fhir, IFhirSystemDao<?, ?> dao, ResourceProviderFactory resources, JpaSystemProvider<?, ?> system,
      JpaStorageSettings settings, ISearchParamRegistry parameters, IValidationSupport support,
      DatabaseBackedPagingProvider paging) {
    var server = new RestfulServer(fhir);
    server.registerProviders(resources.createProviders());
    server.registerProvider(system);
    server.setPagingProvider(paging);
    server.setServerConformanceProvider(
        new JpaCapabilityStatementProvider(server, dao, settings, parameters, support));
    return server;
  }

  @Bean
  JpaStorageSettings storageSettings() {
    return new JpaStorageSettings();
  }

  @Bean
  PartitionSettings partitionSettings() {
    return new PartitionSettings();
  }

  @Bean
  SubscriptionSettings subscriptionSettings() {
    return new SubscriptionSettings();
  }

  @Bean
  DataSource dataSource() {
    var source = new BasicDataSource();
    // what it says is written is on disk then, as with the databases that it is used with: it is killed here
    source.setUrl("jdbc:h2:file:" + folder + "/fhir;WRITE_DELAY=0");
    source.setMaxTotal(20);
    return source;
  }

  @Bean
  @Primary
  LocalContainerEntityManagerFactoryBean entityManagerFactory(
      ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings settings, DataSource source) {
    var made = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, settings);
    made.setPersistenceUnitName("HAPI_PU");
    made.setDataSource(source);
    var properties = new Properties();
    properties.put("hibernate.dialect", HapiFhirH2Dialect.class.getName());
    properties.put("hibernate.hbm2ddl.auto", "update");
    properties.put("hibernate.search.enabled", "false");
    made.setJpaProperties(properties);
    return made;
  }

  @Bean
  @Primary
  JpaTransactionManager transactionManager(EntityManagerFactory factory) {
    return new JpaTransactionManager(factory);
  }
}
